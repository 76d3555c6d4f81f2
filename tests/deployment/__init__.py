"""What is shipped, tried on a real Docker engine and a real cluster: images, compose, Kubernetes, data platform."""
