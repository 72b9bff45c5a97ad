//! Tally's own definitions, compiled in from `schemas/definitions`.

use super::Definitions;
use super::load::Loader;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../definitions/", $name)))),*]
    };
}

/// Every file of `schemas/definitions`, by its path there.
pub(super) const FILES: &[(&str, &str)] = files![
    "events/agent_users_using_ci_tunnel.yml",
    "events/create_flux_git_push_notification.yml",
    "events/create_work_item.yml",
    "events/flux_git_push_notified_unique_projects.yml",
    "events/gitops_sync.yml",
    "events/k8s_api_proxy_requests_unique_agents_via_ci_access.yml",
    "events/k8s_api_proxy_requests_unique_agents_via_pat_access.yml",
    "events/k8s_api_proxy_requests_unique_agents_via_user_access.yml",
    "events/k8s_api_proxy_requests_unique_users_via_ci_access.yml",
    "events/k8s_api_proxy_requests_unique_users_via_pat_access.yml",
    "events/k8s_api_proxy_requests_unique_users_via_user_access.yml",
    "events/request_api_proxy_access.yml",
    "events/request_api_proxy_access_via_ci.yml",
    "events/request_api_proxy_access_via_pat.yml",
    "events/request_api_proxy_access_via_user.yml",
    "events/run_pipeline.yml",
    "events/search.yml",
    "events/sign_in.yml",
    "events/view_dashboard.yml",
    "metrics/agent_users_using_ci_tunnel.yml",
    "metrics/count_distinct_label_from_view_dashboard.yml",
    "metrics/count_distinct_namespace_id_from_run_pipeline.yml",
    "metrics/count_distinct_project_id_from_run_pipeline.yml",
    "metrics/count_distinct_user_id_from_any_use.yml",
    "metrics/count_distinct_user_id_from_search.yml",
    "metrics/count_distinct_user_id_from_view_dashboard.yml",
    "metrics/count_total_create_incident.yml",
    "metrics/count_total_create_incident_by_api.yml",
    "metrics/count_total_create_work_item.yml",
    "metrics/count_total_run_pipeline.yml",
    "metrics/count_total_search_without_results.yml",
    "metrics/count_total_sign_in_with_second_factor.yml",
    "metrics/count_total_view_dashboard.yml",
    "metrics/flux_git_push_notified_unique_projects.yml",
    "metrics/k8s_api_proxy_requests_unique_agents_via_ci_access.yml",
    "metrics/k8s_api_proxy_requests_unique_agents_via_pat_access.yml",
    "metrics/k8s_api_proxy_requests_unique_agents_via_user_access.yml",
    "metrics/k8s_api_proxy_requests_unique_users_via_ci_access.yml",
    "metrics/k8s_api_proxy_requests_unique_users_via_pat_access.yml",
    "metrics/k8s_api_proxy_requests_unique_users_via_user_access.yml",
    "metrics/kubernetes_agent_flux_git_push_notifications_total.yml",
    "metrics/kubernetes_agent_gitops_sync.yml",
    "metrics/kubernetes_agent_k8s_api_proxy_request.yml",
    "metrics/kubernetes_agent_k8s_api_proxy_requests_via_ci_access.yml",
    "metrics/kubernetes_agent_k8s_api_proxy_requests_via_pat_access.yml",
    "metrics/kubernetes_agent_k8s_api_proxy_requests_via_user_access.yml",
    "metrics/pipelines_by_outcome.yml",
    "metrics/recorded_at.yml",
    "metrics/sum_value_from_run_pipeline.yml",
    "metrics/sum_value_from_run_pipeline_failed.yml",
    "metrics/version.yml",
];

pub(super) fn load() -> Definitions {
    let mut loader = Loader::default();
    for (name, yaml) in FILES {
        loader.read(name, yaml);
    }
    loader.finish().definitions
}
