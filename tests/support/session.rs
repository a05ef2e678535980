//! Sessions of a role, as a server's token service gives them.

use aws_config::{BehaviorVersion, Region, sts::AssumeRoleProvider};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use ring::hmac;

use crate::seaweed::Seaweed;

/// The keys of a session.
pub struct Session {
    pub id: String,
    pub secret: String,
    pub token: String,
}

impl Session {
    /// A fresh session of the role `NAME-session` for the user `NAME`.
    pub async fn begin(server: &Seaweed, name: &str) -> Self {
        Self::called(server, name, "strongroom").await
    }

    /// The same under a name of its own choice.
    pub async fn called(server: &Seaweed, name: &str, session: &str) -> Self {
        let user = Credentials::new(name, server.secret(name), None, None, "test");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(server.endpoint())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(user.clone())
            .load()
            .await;
        let role = AssumeRoleProvider::builder(format!("arn:aws:iam::role/{name}-session")).session_name(session);
        let provider = role.configure(&config).build_from_provider(SharedCredentialsProvider::new(user)).await;
        let made = provider.provide_credentials().await.unwrap();
        Self {
            id: made.access_key_id().to_owned(),
            secret: made.secret_access_key().to_owned(),
            token: made.session_token().unwrap().to_owned(),
        }
    }

    /// The same session as it will be when its time is over: the server's token, dated back and signed anew with the
    /// server's key. No server gives sessions short enough to wait for.
    pub fn ended(&self, server: &Seaweed) -> Self {
        let parts: Vec<&str> = self.token.split('.').collect();
        let payload = BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        let mut claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let now = Timestamp::now().as_second();
        for (claim, at) in [("iat", now - 3600), ("nbf", now - 3600), ("exp", now - 60)] {
            claims[claim] = at.into();
        }
        let text = format!("{}.{}", parts[0], BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
        let key = BASE64_STANDARD.decode(server.secret("sts")).unwrap();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
        let token = format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
        Self { id: self.id.clone(), secret: self.secret.clone(), token }
    }

    /// A credentials file with this session.
    pub fn file(&self, more: &str) -> String {
        let Self { id, secret, token } = self;
        format!("access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\nsession_token = \"{token}\"\n{more}")
    }

    /// What a credential helper prints for this session.
    pub fn printed(&self, expires: Timestamp) -> String {
        let Self { id, secret, token } = self;
        serde_json::json!({
            "Version": 1,
            "AccessKeyId": id,
            "SecretAccessKey": secret,
            "SessionToken": token,
            "Expiration": expires.to_string(),
        })
        .to_string()
    }
}
