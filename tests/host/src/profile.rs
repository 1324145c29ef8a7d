//! Which host is played, and how this installation of it differs from another.

use std::time::Duration;

/// The host to behave like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Envoy 1.40.
    Envoy,
    /// Kong Gateway 3.9 (ngx_wasm_module).
    Kong,
}

/// A profile with what an operator or a version changes about it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub profile: Profile,
    /// Kong: `nginx_wasm_shm_kv` is set. Envoy always has shared data.
    pub shared_data: bool,
    /// Kong 3.8 and older: a callout that fails is never answered.
    pub silent_failures: bool,
    /// Envoy: a request whose head is held goes on to give its body
    /// (`allow_on_headers_stop_iteration`).
    pub bodies_of_held: bool,
    /// Envoy: the clusters that exist.
    pub clusters: Vec<String>,
    /// Kong: what nginx listens as, which is what `:authority` and `request.host` say there.
    pub server_name: String,
}

impl Rules {
    pub(crate) fn new(profile: Profile) -> Rules {
        Rules {
            profile,
            shared_data: profile == Profile::Envoy,
            silent_failures: false,
            bodies_of_held: false,
            clusters: Vec::new(),
            server_name: "kong".into(),
        }
    }

    pub(crate) fn is_kong(&self) -> bool {
        self.profile == Profile::Kong
    }

    /// Kong's header maps stop here.
    pub(crate) fn max_pairs(&self) -> usize {
        match self.profile {
            Profile::Envoy => usize::MAX,
            Profile::Kong => 100,
        }
    }

    /// Kong asks memory for the first hundred headers and one pseudo header, and writes the pseudo
    /// headers and then as many as make a hundred. That fits while there are no more headers than
    /// this.
    pub(crate) fn max_safe_headers(&self) -> usize {
        match self.profile {
            Profile::Envoy => usize::MAX,
            Profile::Kong => 97,
        }
    }

    /// nginx cuts a line of its log at 4,096 bytes, of which time, level and names take some.
    pub(crate) fn max_logged_bytes(&self) -> usize {
        match self.profile {
            Profile::Envoy => usize::MAX,
            Profile::Kong => 4_096 - 120,
        }
    }

    /// Kong counts callouts from zero, which a filter must not take for "none".
    pub(crate) fn first_token(&self) -> u32 {
        match self.profile {
            Profile::Envoy => 1,
            Profile::Kong => 0,
        }
    }

    /// When the host itself gives up on a callout.
    pub(crate) fn gives_up_after(&self, timeout: Duration) -> Option<Duration> {
        (!timeout.is_zero()).then_some(timeout)
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::new(Profile::Envoy)
    }
}
