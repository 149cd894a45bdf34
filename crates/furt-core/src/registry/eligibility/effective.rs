//! The routes that a definition really has.

use std::sync::Arc;

use crate::model::{Definition, Host, MethodRule, Pattern, Permission, RouteOptions, RouteSpec};

/// The definition with the routes that it really has. Without any, a service is reached by its host
/// `<service>.<apps_domain>`, with the permission `app:<service>`.
pub fn effective(definition: &Definition, apps_domain: &Host) -> Arc<Definition> {
    let mut effective = definition.clone();
    if definition.routes.is_empty()
        && let Ok(host) = Host::try_new(&format!("{}.{apps_domain}", definition.service))
        && let Ok(permission) = Permission::try_new(&format!("app:{}", definition.service))
    {
        effective.host = Some(host);
        let all = ["/", "/*"].into_iter().filter_map(|text| Pattern::try_new(text).ok());
        effective.routes = all
            .map(|pattern| RouteSpec {
                method: MethodRule::Any,
                pattern,
                permission: Some(permission.clone()),
                options: RouteOptions::default(),
            })
            .collect();
    }
    Arc::new(effective)
}
