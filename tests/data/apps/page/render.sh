# A page of the words in a file.
set -eu
while read -r line; do
  echo "<p>$line</p>"
done < "$1"
