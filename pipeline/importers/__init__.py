"""Public data sets as logs in the layout of the data contract, a module for each."""
