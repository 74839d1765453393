"""The ways in: gRPC, REST, the forward proxy with its certificates, and the admin port."""
