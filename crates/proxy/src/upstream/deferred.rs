//! A session of somebody who has not linked her account at the upstream yet: it is opened when she has.
//!
//! Until then she is told of the upstream what the gate was told itself, and its lists are read with the gate's own
//! access, from which the pins are made too. Nothing else is sent, and nothing of hers.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use sallyport_mcp::{
    Notification, RequestId, Response,
    methods::{Kind, ListKind, rule},
};
use tokio::sync::OnceCell;

use super::{
    Caller, ClientFacts, Outgoing, ServerFacts, UpstreamCredential, UpstreamError, UpstreamSession, UpstreamSpec,
    UpstreamStream, connector::HttpSide, credential::CatalogueAccess,
};

/// Such a session.
pub(super) struct DeferredSession {
    pub(super) side: Arc<HttpSide>,
    pub(super) spec: UpstreamSpec,
    pub(super) client: ClientFacts,
    pub(super) caller: Caller,
    /// The gate, for lists.
    pub(super) gate: Caller,
    /// What the upstream told the gate.
    pub(super) facts: ServerFacts,
    own: OnceCell<Arc<dyn UpstreamSession>>,
    lists: OnceCell<Arc<dyn UpstreamSession>>,
}

impl fmt::Debug for DeferredSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredSession").field("open", &self.own.initialized()).finish_non_exhaustive()
    }
}

impl DeferredSession {
    pub(super) fn new(
        side: &Arc<HttpSide>,
        spec: &UpstreamSpec,
        client: &ClientFacts,
        caller: &Caller,
        (gate, facts): (Caller, ServerFacts),
    ) -> Self {
        Self {
            side: Arc::clone(side),
            spec: spec.clone(),
            client: client.clone(),
            caller: caller.clone(),
            gate,
            facts,
            own: OnceCell::new(),
            lists: OnceCell::new(),
        }
    }

    /// Lists that are the same for everybody. Where the gate reads the catalogue with somebody's account, her
    /// resources are hers.
    fn may_be_shown(&self, method: &str) -> bool {
        let hers = match &self.spec.credential {
            UpstreamCredential::LinkedAccount(linked) => matches!(linked.catalogue, CatalogueAccess::Account { .. }),
            _ => true,
        };
        match rule(method).kind {
            Kind::List(ListKind::Tools | ListKind::Prompts) => true,
            Kind::List(_) => !hers,
            _ => false,
        }
    }

    async fn own(&self) -> Result<&Arc<dyn UpstreamSession>, UpstreamError> {
        let opened = self.own.get_or_try_init(|| self.side.open_now(&self.spec, &self.client, &self.caller)).await?;
        // The client was promised another era: it has to begin anew.
        if opened.facts().era == self.facts.era { Ok(opened) } else { Err(UpstreamError::SessionEnded) }
    }
}

#[async_trait]
impl UpstreamSession for DeferredSession {
    fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    async fn request(&self, outgoing: Outgoing) -> Result<UpstreamStream, UpstreamError> {
        match self.own().await {
            Ok(own) => own.request(outgoing).await,
            Err(UpstreamError::LinkRequired { .. }) if self.may_be_shown(&outgoing.request.method) => {
                let lists = self.lists.get_or_try_init(|| self.side.open_now(&self.spec, &self.client, &self.gate));
                lists.await?.request(outgoing).await
            }
            Err(error) => Err(error),
        }
    }

    async fn notify(&self, notification: Notification) -> Result<(), UpstreamError> {
        match self.own.get() {
            Some(own) => own.notify(notification).await,
            None => Ok(()),
        }
    }

    async fn respond(&self, response: Response) -> Result<(), UpstreamError> {
        match self.own.get() {
            Some(own) => own.respond(response).await,
            None => Err(UpstreamError::UnknownRequest),
        }
    }

    async fn listen(&self, last_event_id: Option<&str>) -> Result<UpstreamStream, UpstreamError> {
        match self.own.get() {
            Some(own) => own.listen(last_event_id).await,
            None => Err(UpstreamError::NotOffered("a stream before the account is linked")),
        }
    }

    async fn cancel(&self, id: &RequestId, reason: Option<&str>) {
        if let Some(own) = self.own.get() {
            own.cancel(id, reason).await;
        }
    }

    async fn close(&self) {
        for session in [&self.own, &self.lists].into_iter().filter_map(OnceCell::get) {
            session.close().await;
        }
    }

    fn is_alive(&self) -> bool {
        self.own.get().is_none_or(|own| own.is_alive())
    }
}
