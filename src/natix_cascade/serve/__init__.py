"""The cascade as a service: HTTP API, web page, keys, limits, health; and the subnet's miner."""
