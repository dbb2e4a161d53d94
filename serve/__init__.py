"""The request path: API, prompt, engine, Ray Serve application."""
