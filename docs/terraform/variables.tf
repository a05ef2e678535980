variable "region" {
  description = "Where the bucket is."
  type        = string
}

variable "vault_account_id" {
  description = "The account that holds the vault and nothing else."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.vault_account_id))
    error_message = "An account id has twelve digits."
  }
}

variable "vault_ou_id" {
  description = "The organizational unit of the vault account, which the service control policy is attached to."
  type        = string
}

variable "management_profile" {
  description = "The AWS profile of the organization's management account."
  type        = string
}

variable "bucket" {
  description = "The bucket's name."
  type        = string
}

variable "keep_days" {
  description = "What `init --keep` promises to each snapshot."
  type        = number
  default     = 35
}

variable "window_days" {
  description = "How much longer than that the bucket locks what is put. Unchanged data is stored again this often."
  type        = number
  default     = 30

  validation {
    condition     = var.window_days >= 2
    error_message = "strongroom refuses a window of less than two days."
  }
}

variable "writer_name" {
  description = "The writer's name: `init --writer`, and the common name of its certificate."
  type        = string
}

variable "writer_ca_pem" {
  description = "The certificate (PEM) of the authority that issues the writer's own."
  type        = string
}

variable "responders" {
  description = "ARNs that may take the reader's role, with a second factor, when the day has come."
  type        = list(string)
}

variable "drill_repository" {
  description = "The GitHub repository, as OWNER/NAME, whose protected environment `drill` runs drills."
  type        = string
}

variable "keeper_image" {
  description = "A container image with strongroom and the vault's strongroom.toml, by digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.keeper_image))
    error_message = "Name the image by its digest: a tag can be moved."
  }
}

variable "keeper_subnets" {
  description = "Private subnets with a route to S3 (a gateway endpoint costs nothing) and to the image's registry."
  type        = list(string)
}

variable "keeper_security_group" {
  description = "A security group that lets HTTPS out and nothing in."
  type        = string
}

variable "alarm_email" {
  description = "Who is told when somebody takes the reader's or the pruner's role."
  type        = string
}
