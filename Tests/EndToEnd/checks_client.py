"""stub"""
CHECKS = []
