"""How a network trains: batches, epochs, schedule, compilation."""
