"""Neural-collapse metrics: streaming feature statistics and the record of NC1 to NC4."""
