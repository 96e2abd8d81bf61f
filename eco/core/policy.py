"""The few durations that decisions depend on, in seconds, typed once at the door."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """Every default is right for production; the configuration may change some of them."""

    unhealthy_member_ttl: float = 180.0
    """A voter that answers nobody for this long is replaced when a replacement waits."""
    learner_patience: float = 30.0
    """A learner whose applied index stands still this long (and never caught up) is removed."""
    learner_lag: int = 500
    """Entries behind the leader at which a learner may be promoted."""
    restart_patience: float = 60.0
    """A running etcd that takes no part for this long while others serve is restarted."""
    leaderless: float = 10.0
    """Ten election timeouts: below this, being without a leader is an ordinary election."""
    give_up_starts: int = 5
    """Starts in a row that fail before data is called not startable."""
    leader_agent_patience: float = 30.0
    """The leader's agent may be silent this long before leadership is moved to a live agent."""
    stop_patience: float = 20.0
    """A stopping node waits this long for its turn, then stops."""
    ticket_patience: float = 5.0
    """Without an answer from the leader's agent for this long, go by what the peers report."""
    leave_patience: float = 60.0
    """A leaving node waits this long to be removed, then stops."""
    alive_watch: float = 150.0
    """How long a still `alive` counter must be watched before a number after 1 is claimed."""
