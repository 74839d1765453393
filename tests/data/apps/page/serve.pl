# Serves one file at a port of its own, whatever $PORT says.
use IO::Socket::INET;
open(my $file, "<", $ARGV[0]) or die "$ARGV[0]: $!";
my $body = join("", <$file>);
my $server = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => 3000, Listen => 9, ReuseAddr => 1) or die "$!";
$SIG{TERM} = sub { exit 0 };
while (my $client = $server->accept) {
    while (<$client>) { last if /^\r?\n$/ }
    print $client "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    close $client;
}
