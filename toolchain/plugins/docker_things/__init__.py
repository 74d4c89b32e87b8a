"""The stand-in for Pulumi's Docker plugin. (Not named `docker`: that is the SDK's name.)"""
