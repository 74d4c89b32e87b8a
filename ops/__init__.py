"""What operators use: doctor, verify, ports, costs, prices, and the pipeline of CI."""
