"""What a connection says, checked as a whole before anything is sent."""
