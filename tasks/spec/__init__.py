"""What a Cloud Run service is set to, whoever said it: compared, merged, named. Pure.

Begin with `settings` (a body as flat settings that can be compared); `merge` brings what slipway.yaml says into what is
live, and takes away only what an earlier release had said.
"""
