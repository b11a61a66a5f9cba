"""correlators"""
