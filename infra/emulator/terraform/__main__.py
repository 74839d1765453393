"""`python -m infra.emulator.terraform google-beta`: the process that Terraform starts."""

import sys

from infra.emulator.terraform.client import Cloud
from infra.emulator.terraform.engine import Provider
from infra.emulator.terraform.plugin import serve
from infra.emulator.terraform.table import CONFIGURATION, PROVIDERS

serve(Provider(CONFIGURATION, PROVIDERS[sys.argv[1]], Cloud()))
