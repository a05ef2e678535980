# Each role has the policy that `strongroom policy` prints for it, in policies/ROLE.json.

locals {
  trust = {
    writer  = data.aws_iam_policy_document.writer_trust.json
    keeper  = data.aws_iam_policy_document.keeper_trust.json
    reader  = data.aws_iam_policy_document.responder_trust.json
    driller = data.aws_iam_policy_document.driller_trust.json
    auditor = data.aws_iam_policy_document.responder_trust.json
    pruner  = data.aws_iam_policy_document.responder_trust.json
  }
}

resource "aws_iam_role" "vault" {
  for_each = local.trust

  name                 = "vault-${each.key}"
  assume_role_policy   = each.value
  max_session_duration = each.key == "writer" ? 43200 : 3600
}

resource "aws_iam_role_policy" "vault" {
  for_each = local.trust

  name   = "least"
  role   = aws_iam_role.vault[each.key].id
  policy = file("${path.module}/policies/${each.key}.json")
}

# People: a second factor, within the hour.
data "aws_iam_policy_document" "responder_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = var.responders
    }

    condition {
      test     = "Bool"
      variable = "aws:MultiFactorAuthPresent"
      values   = ["true"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "aws:MultiFactorAuthAge"
      values   = ["3600"]
    }
  }
}

# The writer: a certificate on its host, exchanged for sessions by IAM Roles Anywhere. No key that never ends.
resource "aws_rolesanywhere_trust_anchor" "writer" {
  name    = "vault-writer"
  enabled = true

  source {
    source_type = "CERTIFICATE_BUNDLE"

    source_data {
      x509_certificate_data = var.writer_ca_pem
    }
  }
}

resource "aws_rolesanywhere_profile" "writer" {
  name             = "vault-writer"
  enabled          = true
  role_arns        = [aws_iam_role.vault["writer"].arn]
  duration_seconds = 3600
}

data "aws_iam_policy_document" "writer_trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"]

    principals {
      type        = "Service"
      identifiers = ["rolesanywhere.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalTag/x509Subject/CN"
      values   = [var.writer_name]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_rolesanywhere_trust_anchor.writer.arn]
    }
  }
}

# Drills in CI: a token of the job, for one environment of one repository.
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "driller_trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:${var.drill_repository}:environment:drill"]
    }
  }
}

data "aws_iam_policy_document" "keeper_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.vault_account_id]
    }
  }
}
