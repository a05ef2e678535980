# The keeper: `strongroom renew --yes` once a week, in the vault account, in a container that can do nothing else.

resource "aws_ecs_cluster" "keeper" {
  name = "vault-keeper"
}

resource "aws_cloudwatch_log_group" "keeper" {
  name              = "/vault/keeper"
  retention_in_days = 400
}

resource "aws_iam_role" "keeper_start" {
  name               = "vault-keeper-start"
  assume_role_policy = data.aws_iam_policy_document.keeper_trust.json
}

resource "aws_iam_role_policy_attachment" "keeper_start" {
  role       = aws_iam_role.keeper_start.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_ecs_task_definition" "keeper" {
  family                   = "vault-keeper"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 1024
  execution_role_arn       = aws_iam_role.keeper_start.arn
  task_role_arn            = aws_iam_role.vault["keeper"].arn

  container_definitions = jsonencode([
    {
      name                   = "renew"
      image                  = var.keeper_image
      essential              = true
      readonlyRootFilesystem = true
      # In this container there is one role to be found, and it is the right one.
      command = ["renew", "--yes", "--json", "--credentials", "ambient"]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.keeper.name
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = "renew"
        }
      }
    }
  ])
}

data "aws_iam_policy_document" "schedule_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.vault_account_id]
    }
  }
}

data "aws_iam_policy_document" "schedule" {
  statement {
    actions   = ["ecs:RunTask"]
    resources = [aws_ecs_task_definition.keeper.arn]
  }

  statement {
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.keeper_start.arn, aws_iam_role.vault["keeper"].arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "schedule" {
  name               = "vault-keeper-schedule"
  assume_role_policy = data.aws_iam_policy_document.schedule_trust.json
}

resource "aws_iam_role_policy" "schedule" {
  name   = "run"
  role   = aws_iam_role.schedule.id
  policy = data.aws_iam_policy_document.schedule.json
}

resource "aws_scheduler_schedule" "keeper" {
  name                = "vault-keeper"
  schedule_expression = "rate(7 days)"

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 60
  }

  target {
    arn      = aws_ecs_cluster.keeper.arn
    role_arn = aws_iam_role.schedule.arn

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.keeper.arn
      launch_type         = "FARGATE"

      network_configuration {
        subnets          = var.keeper_subnets
        security_groups  = [var.keeper_security_group]
        assign_public_ip = false
      }
    }

    retry_policy {
      maximum_retry_attempts = 3
    }
  }
}
