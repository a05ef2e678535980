# What the vault account itself must not do, and who is told when a role that matters is taken.

data "aws_iam_policy_document" "guard" {
  statement {
    sid    = "NobodyLiftsLocks"
    effect = "Deny"
    actions = [
      "s3:BypassGovernanceRetention",
      "s3:PutObjectLegalHold",
      "s3:DeleteBucket",
    ]
    resources = ["*"]
  }

  statement {
    sid    = "NobodyLeavesOrCloses"
    effect = "Deny"
    actions = [
      "organizations:LeaveOrganization",
      "account:CloseAccount",
    ]
    resources = ["*"]
  }

  statement {
    sid    = "NobodyStopsTheTrail"
    effect = "Deny"
    actions = [
      "cloudtrail:StopLogging",
      "cloudtrail:DeleteTrail",
      "cloudtrail:UpdateTrail",
      "cloudtrail:PutEventSelectors",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "NoKeysThatNeverEnd"
    effect    = "Deny"
    actions   = ["iam:CreateAccessKey", "iam:CreateUser", "iam:CreateLoginProfile"]
    resources = ["*"]
  }

  statement {
    sid       = "NoRootUser"
    effect    = "Deny"
    actions   = ["*"]
    resources = ["*"]

    condition {
      test     = "StringLike"
      variable = "aws:PrincipalArn"
      values   = ["arn:aws:iam::*:root"]
    }
  }
}

resource "aws_organizations_policy" "guard" {
  provider = aws.management

  name    = "vault-guard"
  type    = "SERVICE_CONTROL_POLICY"
  content = data.aws_iam_policy_document.guard.json
}

resource "aws_organizations_policy_attachment" "guard" {
  provider = aws.management

  policy_id = aws_organizations_policy.guard.id
  target_id = var.vault_ou_id
}

resource "aws_sns_topic" "alarm" {
  name = "vault-alarm"
}

resource "aws_sns_topic_subscription" "alarm" {
  topic_arn = aws_sns_topic.alarm.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

data "aws_iam_policy_document" "alarm" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarm.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
  }
}

resource "aws_sns_topic_policy" "alarm" {
  arn    = aws_sns_topic.alarm.arn
  policy = data.aws_iam_policy_document.alarm.json
}

# Events of sign-in and sessions reach EventBridge only where a trail records them.
resource "aws_cloudwatch_event_rule" "taken" {
  name        = "vault-role-taken"
  description = "Somebody took a role that a quiet day needs nobody to take."

  event_pattern = jsonencode({
    source        = ["aws.sts"]
    "detail-type" = ["AWS API Call via CloudTrail"]
    detail = {
      eventName         = ["AssumeRole"]
      requestParameters = { roleArn = [for role in ["reader", "pruner"] : aws_iam_role.vault[role].arn] }
    }
  })
}

resource "aws_cloudwatch_event_target" "taken" {
  rule = aws_cloudwatch_event_rule.taken.name
  arn  = aws_sns_topic.alarm.arn
}
