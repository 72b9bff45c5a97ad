//! Arbitrary changes, over few ids and few names, so that they meet each other.

use jiff::{SignedDuration, Timestamp, civil::date};
use proptest::prelude::*;
use serde_json::json;
use tally_directory::{
    AccessLevel, AccessToken, Agent, Alert, Change, DeployAccess, FeatureAccess, Features, IdKind, KeyUsage,
    Member, MemberSource, MinutePack, Namespace, NamespaceKind, ProductAnalytics, Project, Reconciliation,
    ReferenceCount, Scope, SecretHash, SshKey, Subscription, User, UserState, Visibility,
};
use uuid::Uuid;

fn id() -> impl Strategy<Value = i64> {
    1..6_i64
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[abc]", "\\PC{1,4}"]
}

fn hash() -> impl Strategy<Value = SecretHash> {
    "[abc]".prop_map(|secret| SecretHash::of(&secret))
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (0..3_000_i64).prop_map(|second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second))
}

fn day() -> impl Strategy<Value = jiff::civil::Date> {
    (1..28_i8).prop_map(|day| date(2026, 3, day))
}

fn source() -> impl Strategy<Value = MemberSource> {
    prop_oneof![id().prop_map(MemberSource::Project), id().prop_map(MemberSource::Namespace)]
}

/// Any change that a log can hold.
pub fn change() -> impl Strategy<Value = Change> {
    prop_oneof![4 => record(), 1 => purchase(), 1 => report(), 2 => removal()]
}

fn record() -> impl Strategy<Value = Change> {
    prop_oneof![
        user().prop_map(Change::User),
        key().prop_map(Change::Key),
        token().prop_map(Change::Token),
        namespace().prop_map(Change::Namespace),
        project().prop_map(Change::Project),
        member().prop_map(Change::Member),
        agent().prop_map(Change::Agent),
    ]
}

fn purchase() -> impl Strategy<Value = Change> {
    prop_oneof![
        subscription().prop_map(Change::Subscription),
        (name(), id(), day(), 0..9_i64).prop_map(
            |(purchase_xid, namespace_id, expires_at, number_of_minutes)| {
                Change::MinutePack(MinutePack { purchase_xid, namespace_id, expires_at, number_of_minutes })
            }
        ),
        (id(), day(), day()).prop_map(|(namespace_id, next_reconciliation_date, display_alert_from)| {
            Change::Reconciliation(Reconciliation {
                namespace_id,
                next_reconciliation_date,
                display_alert_from,
            })
        }),
    ]
}

fn report() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<u128>().prop_map(|id| Change::Identity { id: Uuid::from_u128(id) }),
        (prop::sample::select(&IdKind::ALL[..]), 0..20_i64)
            .prop_map(|(kind, up_to)| Change::IdsUsed { kind, up_to }),
        alert().prop_map(Change::Alert),
        (name(), 0..3_u128, -1..2_i64, moment()).prop_map(|(repository, writer, count, at)| {
            Change::ReferenceCount(ReferenceCount { repository, writer: Uuid::from_u128(writer), count, at })
        }),
        (name(), prop::sample::select(vec![json!(null), json!(1), json!("x\ny"), json!({"a": [true]})]))
            .prop_map(|(name, value)| Change::Setting { name, value }),
        (name(), any::<bool>()).prop_map(|(name, enabled)| Change::FeatureFlag { name, enabled }),
    ]
}

fn removal() -> impl Strategy<Value = Change> {
    prop_oneof![
        id().prop_map(|id| Change::RemoveUser { id }),
        id().prop_map(|id| Change::RemoveKey { id }),
        id().prop_map(|id| Change::RemoveToken { id }),
        id().prop_map(|id| Change::RemoveNamespace { id }),
        id().prop_map(|id| Change::RemoveProject { id }),
        (id(), source()).prop_map(|(user_id, source)| Change::RemoveMember { user_id, source }),
        id().prop_map(|id| Change::RemoveAgent { id }),
        id().prop_map(|namespace_id| Change::RemoveReconciliation { namespace_id }),
    ]
}

fn user() -> impl Strategy<Value = User> {
    let state = prop::sample::select(vec![UserState::Active, UserState::Blocked, UserState::Deactivated]);
    let flags = any::<[bool; 5]>();
    (id(), name(), state, flags, prop::collection::vec(hash(), 0..3), prop::option::of(name())).prop_map(
        |(
            id,
            username,
            state,
            [admin, two_factor, private_profile, locked, external],
            recovery_codes,
            avatar_url,
        )| {
            User {
                id,
                name: username.to_uppercase(),
                username,
                state,
                admin,
                two_factor,
                recovery_codes,
                public_email: avatar_url.clone().unwrap_or_default(),
                avatar_url,
                private_profile,
                locked,
                external,
            }
        },
    )
}

fn key() -> impl Strategy<Value = SshKey> {
    let usage = prop::sample::select(vec![KeyUsage::Auth, KeyUsage::Signing, KeyUsage::AuthAndSigning]);
    let moments = (prop::option::of(moment()), moment(), prop::option::of(moment()));
    (id(), prop::option::of(id()), "[abc]", usage, moments, any::<[bool; 2]>()).prop_map(
        |(id, user_id, body, usage_type, (expires_at, created_at, last_used_at), [can_push, active])| {
            let key = format!("ssh-ed25519 AAA{body}");
            SshKey {
                id,
                user_id,
                title: body,
                fingerprint_sha256: SshKey::fingerprint(&key).unwrap_or_default(),
                key,
                usage_type,
                expires_at,
                created_at,
                last_used_at,
                deploy: user_id.is_none(),
                deploy_projects: if can_push {
                    vec![DeployAccess { project_id: id, can_push }]
                } else {
                    Vec::new()
                },
                active,
            }
        },
    )
}

fn token() -> impl Strategy<Value = AccessToken> {
    let scopes = prop::sample::subsequence(Scope::ALL.to_vec(), 1..4);
    (id(), id(), name(), hash(), scopes, prop::option::of(day()), any::<bool>(), moment()).prop_map(
        |(id, user_id, name, hash, scopes, expires_at, revoked, created_at)| AccessToken {
            id,
            user_id,
            name,
            hash,
            scopes,
            expires_at,
            revoked,
            created_at,
        },
    )
}

fn namespace() -> impl Strategy<Value = Namespace> {
    let kind = prop::sample::select(vec![NamespaceKind::User, NamespaceKind::Group]);
    (id(), name(), kind, prop::option::of(id()), any::<bool>()).prop_map(
        |(id, path, kind, parent_id, inside)| Namespace {
            id,
            name: path.clone(),
            path,
            kind,
            parent_id,
            ip_ranges: if inside { vec!["10.0.0.0/8".parse().unwrap()] } else { Vec::new() },
        },
    )
}

fn project() -> impl Strategy<Value = Project> {
    let visibility =
        prop::sample::select(vec![Visibility::Private, Visibility::Internal, Visibility::Public]);
    let access =
        prop::sample::select(vec![FeatureAccess::Disabled, FeatureAccess::Private, FeatureAccess::Enabled]);
    let key = prop::option::of("[!-~]{1,8}");
    (id(), name(), prop::option::of(id()), visibility, any::<[bool; 2]>(), access, key).prop_map(
        |(id, path, namespace_id, visibility, [archived, lfs_enabled], access, instrumentation_key)| {
            Project {
                id,
                name: path.clone(),
                default_branch: path.clone(),
                protected_refs: vec![path.clone()],
                path,
                namespace_id,
                visibility,
                archived,
                lfs_enabled,
                features: Features { repository: access, ..Features::default() },
                product_analytics: ProductAnalytics { instrumentation_key, funnels: Vec::new() },
            }
        },
    )
}

fn member() -> impl Strategy<Value = Member> {
    let level = prop::sample::select(vec![AccessLevel::Guest, AccessLevel::Developer, AccessLevel::Owner]);
    (id(), source(), level, prop::option::of(day())).prop_map(
        |(user_id, source, access_level, expires_at)| Member { user_id, source, access_level, expires_at },
    )
}

fn agent() -> impl Strategy<Value = Agent> {
    (id(), name(), id(), prop::collection::vec(hash(), 0..3))
        .prop_map(|(id, name, project_id, token_hashes)| Agent { id, name, project_id, token_hashes })
}

fn subscription() -> impl Strategy<Value = Subscription> {
    (id(), name(), 0..9_i64, day(), prop::option::of(day()), any::<[bool; 3]>()).prop_map(
        |(namespace_id, plan_code, seats, start_date, end_date, [trial, auto_renew, upgradable])| {
            Subscription {
                namespace_id,
                plan_name: plan_code.clone(),
                plan_code,
                seats,
                max_seats_used: seats + 1,
                start_date,
                end_date,
                trial,
                trial_starts_on: end_date,
                trial_ends_on: end_date,
                auto_renew: Some(auto_renew).filter(|_| upgradable),
                upgradable,
            }
        },
    )
}

fn alert() -> impl Strategy<Value = Alert> {
    (id(), id(), name(), moment(), 1..9_u64).prop_map(|(id, project_id, fingerprint, last_seen, count)| {
        Alert {
            id,
            project_id,
            agent_id: id,
            fingerprint,
            payload: json!({"severity": count}),
            first_seen: Timestamp::UNIX_EPOCH,
            last_seen,
            count,
        }
    })
}
