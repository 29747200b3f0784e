"""The miner of Subnet 72: answers its challenges, guards the door, and simulates what they would pay."""
