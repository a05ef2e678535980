# Not applied anywhere yet: see docs/deploy-aws.md. Read `terraform plan` before you believe it.

terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.70"
    }
  }
}

# Credentials of the vault account's admin. Never those of production.
provider "aws" {
  region              = var.region
  allowed_account_ids = [var.vault_account_id]
}

# The organization's management account, for the service control policy alone.
provider "aws" {
  alias   = "management"
  region  = var.region
  profile = var.management_profile
}
