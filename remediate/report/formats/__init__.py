"""One round of looking for programs: JSON, JUnit, PRTG, Nagios. Each is a pure function of the document."""
