output "vault" {
  description = "For `strongroom init --vault`, with a prefix after it if you like."
  value       = "s3://${aws_s3_bucket.vault.id}"
}

output "roles" {
  description = "The ARN of each role."
  value       = { for name, role in aws_iam_role.vault : name => role.arn }
}

output "writer_credential_process" {
  description = "What the writer's `credentials = \"process:…\"` runs, with the paths of its certificate and key."
  value = join(" ", [
    "aws_signing_helper credential-process",
    "--certificate /etc/strongroom/writer.crt",
    "--private-key /etc/strongroom/writer-tls.key",
    "--trust-anchor-arn ${aws_rolesanywhere_trust_anchor.writer.arn}",
    "--profile-arn ${aws_rolesanywhere_profile.writer.arn}",
    "--role-arn ${aws_iam_role.vault["writer"].arn}",
  ])
}
