"""The schemas of both files, as lists of scripts on ``user_version``.

A script that has landed is never changed; a change is a further script.
"""

BROKER = (
    """
    CREATE TABLE agents (
        name               TEXT PRIMARY KEY,
        role               TEXT NOT NULL CHECK (role IN ('manager', 'agent')),
        created_at         REAL NOT NULL,               -- POSIX seconds, as all times
        wanted             INTEGER NOT NULL DEFAULT 1,  -- the operator wants it to run
        paused             INTEGER NOT NULL DEFAULT 0,
        model              TEXT,                        -- NULL: the hive's setting
        status_text        TEXT,                        -- what it said of itself
        status_set_at      REAL,
        session_id         TEXT,                        -- claude's, from the last turn
        fresh_session      INTEGER NOT NULL DEFAULT 0,  -- next turn starts a new one
        context            INTEGER,                     -- tokens of the last inference
        parked_until       REAL,                        -- no turn before then
        parked_for         TEXT,                        -- the outcome that parked it
        setbacks           INTEGER NOT NULL DEFAULT 0,  -- such outcomes in a row
        login_needed_since REAL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE turns (
        id                 INTEGER PRIMARY KEY AUTOINCREMENT,
        agent              TEXT NOT NULL,
        kind               TEXT NOT NULL,               -- message or compact
        started_at         REAL NOT NULL,
        ended_at           REAL,                        -- NULL while it runs
        outcome            TEXT,
        note               TEXT,
        session_id         TEXT,
        model              TEXT,
        input_tokens       INTEGER NOT NULL DEFAULT 0,
        output_tokens      INTEGER NOT NULL DEFAULT 0,
        cache_read_tokens  INTEGER NOT NULL DEFAULT 0,
        cache_write_tokens INTEGER NOT NULL DEFAULT 0,
        context            INTEGER,                     -- of the last inference
        cost_usd           REAL
    ) STRICT;
    CREATE INDEX turns_by_agent ON turns (agent, id);
    -- One turn at a time for an agent.
    CREATE UNIQUE INDEX turns_running ON turns (agent) WHERE ended_at IS NULL;

    CREATE TABLE messages (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        sender      TEXT NOT NULL,
        recipient   TEXT NOT NULL,
        body        TEXT NOT NULL,
        sent_at     REAL NOT NULL,
        state       TEXT NOT NULL DEFAULT 'queued'
                    CHECK (state IN ('queued', 'leased', 'done', 'dead')),
        turn        INTEGER,                            -- leased to, or last handed to
        connection  TEXT,                               -- leased to, of a paused agent
        attempts    INTEGER NOT NULL DEFAULT 0,         -- turns that failed with it
        redelivered INTEGER NOT NULL DEFAULT 0,
        in_reply_to INTEGER,
        done_at     REAL,
        read_at     REAL                                -- of the operator's inbox
    ) STRICT;
    CREATE INDEX messages_by_recipient ON messages (recipient, id);
    CREATE INDEX messages_by_sender ON messages (sender, id);
    CREATE INDEX messages_queued ON messages (recipient, id) WHERE state = 'queued';
    CREATE INDEX messages_leased ON messages (turn, connection) WHERE state = 'leased';
    CREATE INDEX messages_dead ON messages (id) WHERE state = 'dead';
    CREATE INDEX messages_done ON messages (done_at) WHERE state = 'done';
    """,
    """
    ALTER TABLE agents ADD COLUMN deployed_sha TEXT;    -- what it runs with: a commit,
    ALTER TABLE agents ADD COLUMN deployed_tag TEXT;    -- its tag in the applied repo,
    ALTER TABLE agents ADD COLUMN config       TEXT;    -- its configuration as JSON,
    ALTER TABLE agents ADD COLUMN system       TEXT;    -- and the system built of it
    ALTER TABLE agents ADD COLUMN built_with   TEXT;    -- the hyperhive that built it

    CREATE TABLE approvals (
        id           INTEGER PRIMARY KEY AUTOINCREMENT,
        agent        TEXT NOT NULL,                     -- whom it is about
        kind         TEXT NOT NULL CHECK (kind IN ('spawn', 'apply_commit')),
        asker        TEXT NOT NULL,                     -- a mailbox
        description  TEXT,
        commit_ref   TEXT,                              -- as it was asked for
        sha          TEXT,                              -- what that was, pinned
        base         TEXT,                              -- what ran at that time
        requested_at REAL NOT NULL,
        expires_at   REAL,
        status       TEXT NOT NULL DEFAULT 'pending'
                     CHECK (status IN ('pending', 'approved', 'denied', 'failed',
                                       'cancelled')),
        resolved_at  REAL,
        resolved_by  TEXT,
        note         TEXT
    ) STRICT;
    CREATE INDEX approvals_pending ON approvals (agent, id) WHERE status = 'pending';

    CREATE TABLE questions (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        asker       TEXT NOT NULL,                      -- a mailbox
        question    TEXT NOT NULL,
        options     TEXT NOT NULL,                      -- a JSON list of texts
        multi       INTEGER NOT NULL DEFAULT 0,         -- several may be chosen
        asked_at    REAL NOT NULL,
        expires_at  REAL,
        status      TEXT NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('pending', 'answered', 'cancelled', 'expired')),
        resolved_at REAL,
        resolved_by TEXT,
        answer      TEXT
    ) STRICT;
    CREATE INDEX questions_pending ON questions (id) WHERE status = 'pending';

    CREATE TABLE jobs (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        kind       TEXT NOT NULL,                       -- create, rebuild, start, …
        agent      TEXT NOT NULL,
        by         TEXT NOT NULL,                       -- who asked for it
        approval   INTEGER,                             -- the decision that it carries out
        sha        TEXT,                                -- the commit that it deploys
        queued_at  REAL NOT NULL,
        started_at REAL,
        ended_at   REAL,                                -- NULL: waits or runs
        outcome    TEXT CHECK (outcome IN ('done', 'failed', 'cancelled', 'interrupted')),
        note       TEXT
    ) STRICT;
    CREATE INDEX jobs_open ON jobs (id) WHERE ended_at IS NULL;
    """,
    """
    CREATE INDEX approvals_by_agent ON approvals (agent, id);
    CREATE INDEX questions_ended ON questions (resolved_at) WHERE status <> 'pending';
    """,
    """
    CREATE TABLE outbox (
        id      INTEGER PRIMARY KEY AUTOINCREMENT,
        target  TEXT NOT NULL,                          -- who is to be told
        kind    TEXT NOT NULL,                          -- of what
        subject TEXT NOT NULL                           -- an id, or an agent's name
    ) STRICT;
    CREATE INDEX outbox_by_target ON outbox (target, kind, id);

    CREATE TABLE links (                                -- by which one thing is decided
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        kind       TEXT NOT NULL CHECK (kind IN ('approval', 'question')),
        subject    INTEGER NOT NULL,
        made_at    REAL NOT NULL,
        expires_at REAL NOT NULL,
        used_at    REAL
    ) STRICT;
    CREATE INDEX links_by_subject ON links (kind, subject, id);
    CREATE INDEX links_by_expiry ON links (expires_at);
    """,
    """
    -- How long its message waited (NULL for a compaction, and for a message that had
    -- been handed out before), and how long it took: milliseconds, to two figures.
    ALTER TABLE turns ADD COLUMN waited_ms INTEGER;
    ALTER TABLE turns ADD COLUMN took_ms   INTEGER;
    UPDATE turns SET took_ms =
        CAST(CAST(printf('%.1e', MAX(ended_at - started_at, 0) * 1000) AS REAL) AS INTEGER)
        WHERE ended_at IS NOT NULL;
    -- All that statistics are made of, so that the rows themselves stay unread.
    CREATE INDEX turns_ended ON turns (
        ended_at, agent, outcome, took_ms, waited_ms, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, cost_usd
    ) WHERE ended_at IS NOT NULL;
    """,
    """
    CREATE INDEX approvals_decided ON approvals (resolved_at, id)
        WHERE status <> 'pending';
    CREATE INDEX jobs_by_agent ON jobs (agent, id);
    CREATE INDEX jobs_by_approval ON jobs (approval, id) WHERE approval IS NOT NULL;
    CREATE INDEX jobs_by_end ON jobs (ended_at) WHERE ended_at IS NOT NULL;
    """,
)

EVENTS = (
    """
    CREATE TABLE events (
        seq   INTEGER PRIMARY KEY,
        agent TEXT,                                     -- NULL: about no agent
        kind  TEXT NOT NULL,
        at    REAL NOT NULL,
        json  TEXT NOT NULL                             -- the whole event, one line
    ) STRICT;
    CREATE INDEX events_by_agent ON events (agent, seq);
    CREATE INDEX events_by_time ON events (at);
    """,
)
