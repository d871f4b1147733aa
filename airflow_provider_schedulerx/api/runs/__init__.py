"""One run of a workflow: started for certain, tracked, stopped, reconciled. No network, no clock."""
