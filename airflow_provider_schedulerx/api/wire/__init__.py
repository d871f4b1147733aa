"""One call to the service: query, signature, response, retries, and the two transports."""
