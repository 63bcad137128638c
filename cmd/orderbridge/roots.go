package main

// The roots of Mozilla, for machines and images that have none of their own.
import _ "golang.org/x/crypto/x509roots/fallback"
