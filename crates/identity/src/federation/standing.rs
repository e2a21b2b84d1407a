//! Whether a session still stands: what the authorization server asks before each refresh, for providers that
//! push nothing, or late.

use sallyport_model::SessionId;

use super::settings::ConnectionSettings;

/// What is known of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStanding {
    /// It may go on.
    Stands,
    /// The provider no longer stands by the person; her session was revoked.
    Ended,
    /// The provider cannot be asked at this moment; nothing is given, nothing is ended.
    Unknown,
}

impl crate::Identity {
    /// Asks the provider about the person of a session, if the session stands on one that can be asked.
    ///
    /// # Errors
    /// When the store fails: deny.
    pub async fn standing(&self, session: &SessionId) -> Result<SessionStanding, crate::IdentityError> {
        let Some(session) = self.store().browser_session_by_id(session).await? else {
            return Ok(SessionStanding::Stands);
        };
        let Some(provider) = &session.provider else { return Ok(SessionStanding::Stands) };
        if provider.not_after.is_some_and(|end| end <= self.now()) {
            return Ok(SessionStanding::Ended);
        }
        let Some(connection) = self.store().connection(&provider.connection).await? else {
            return Ok(SessionStanding::Ended);
        };
        if !connection.enabled {
            return Ok(SessionStanding::Ended);
        }
        match ConnectionSettings::of(&connection)? {
            ConnectionSettings::Oidc(settings) if settings.ask_again => {
                crate::oidc::ask_again(self, &connection, &settings, &session).await
            }
            _ => Ok(SessionStanding::Stands),
        }
    }
}
