"""Sites to rehearse on. ``real``: network namespaces, Orthanc, nftables and OpenSSH on one Linux machine."""
