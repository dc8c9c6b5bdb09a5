"""Certificates: rigorous lower bounds on the optimum from a point alone. Knows no solver."""

from ufm.certificates._certificate import Certificate as Certificate
from ufm.certificates._certify import certify as certify
from ufm.certificates._certify import first_certificate as first_certificate
