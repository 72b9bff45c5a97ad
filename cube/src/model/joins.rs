//! Which cubes joins connect.

use std::collections::BTreeMap;

use super::Model;

/// The number of the group of connected cubes that each joined cube belongs to, as Cube numbers them in `/meta`. Cubes
/// without joins have none.
pub(super) fn components(model: &Model) -> BTreeMap<&str, usize> {
    let mut components = BTreeMap::new();
    let joining = model.cubes.iter().filter(|cube| !cube.joins.is_empty());
    for (place, cube) in joining.enumerate() {
        spread(model, &cube.name, place + 1, &mut components);
    }
    components
}

fn spread<'m>(model: &'m Model, cube: &'m str, number: usize, components: &mut BTreeMap<&'m str, usize>) {
    if components.contains_key(cube) {
        return;
    }
    components.insert(cube, number);
    for other in &model.cubes {
        let joins = |from: &str, to: &str| {
            model.cube(from).is_some_and(|from| from.joins.iter().any(|join| join.to == to))
        };
        if joins(cube, &other.name) || joins(&other.name, cube) {
            spread(model, &other.name, number, components);
        }
    }
}
