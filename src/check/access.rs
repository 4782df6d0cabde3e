//! Which permission on which path keeps this user out.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// A permission that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The directory or file that lacks it.
    pub path: PathBuf,
    /// What is lacking there.
    pub permission: &'static str,
}

/// Returns what keeps this user from reading `path`: a directory on the way that may not be searched, or the
/// thing itself. `None` if nothing does.
pub fn reading(path: &Path) -> Option<Denied> {
    let directory = path.is_dir();
    first_denied(path, directory, &|path, access| accessat(CWD, path, access, AtFlags::EACCESS).is_ok())
}

/// Returns the nearest existing directory in which `file` or its directory would have to be made, if this user
/// may not write there.
pub fn making(file: &Path) -> Option<Denied> {
    let place = file.ancestors().skip(1).map(here).find(|ancestor| ancestor.exists())?;
    let access = Access::WRITE_OK | Access::EXEC_OK;
    let denied = accessat(CWD, place, access, AtFlags::EACCESS).is_err();
    denied.then(|| Denied { path: place.to_owned(), permission: "write permission (w)" })
}

/// Says whether this user may write an existing file.
pub fn may_write(file: &Path) -> bool {
    accessat(CWD, file, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

type May<'a> = &'a dyn Fn(&Path, Access) -> bool;

fn first_denied(path: &Path, directory: bool, may: May<'_>) -> Option<Denied> {
    let mut ancestors: Vec<&Path> = path.ancestors().skip(1).map(here).collect();
    ancestors.reverse();
    let search = "search permission (x)";
    for ancestor in ancestors {
        if !may(ancestor, Access::EXEC_OK) {
            return Some(Denied { path: ancestor.to_owned(), permission: search });
        }
    }
    let denied = |permission| Some(Denied { path: path.to_owned(), permission });
    if !may(path, Access::READ_OK) {
        return denied("read permission (r)");
    }
    if directory && !may(path, Access::EXEC_OK) { denied(search) } else { None }
}

/// The parent of a relative name is the current directory.
fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

impl Denied {
    /// Returns the lack as a sentence.
    pub fn text(&self) -> String {
        let user = rustix::process::geteuid().as_raw();
        let path = self.path.display();
        let permission = self.permission;
        let facts = self.path.metadata().map_or_else(
            |_| String::new(),
            |metadata| {
                format!(", which has mode {:04o} and owner {}", metadata.mode() & 0o7777, metadata.uid())
            },
        );
        format!("this user (uid {user}) has no {permission} on {path}{facts}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user who may do everything but this.
    fn without(path: &'static str, access: Access) -> impl Fn(&Path, Access) -> bool {
        move |asked, wanted| !(asked == Path::new(path) && wanted == access)
    }

    #[test]
    fn the_first_obstacle_on_the_way_is_named() {
        let path = Path::new("/home/claw/.openclaw");
        for (obstacle, access, permission) in [
            ("/home/claw", Access::EXEC_OK, "search permission (x)"),
            ("/", Access::EXEC_OK, "search permission (x)"),
            ("/home/claw/.openclaw", Access::READ_OK, "read permission (r)"),
            ("/home/claw/.openclaw", Access::EXEC_OK, "search permission (x)"),
        ] {
            let denied = first_denied(path, true, &without(obstacle, access));
            assert_eq!(denied, Some(Denied { path: obstacle.into(), permission }));
        }
        assert_eq!(first_denied(path, true, &|_, _| true), None);
        let file = without("/home/claw/.openclaw", Access::EXEC_OK);
        assert_eq!(first_denied(path, false, &file), None, "a file need not be executable");
        let relative = first_denied(Path::new("state"), true, &without(".", Access::EXEC_OK));
        assert_eq!(relative.unwrap().path, Path::new("."));
    }

    #[test]
    fn the_text_names_user_permission_path_mode_and_owner() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o710)).unwrap();
        let owner = dir.path().metadata().unwrap().uid();
        let denied = Denied { path: dir.path().to_owned(), permission: "read permission (r)" };
        let text = denied.text();
        let expected = format!("on {}, which has mode 0710 and owner {owner}", dir.path().display());
        assert!(text.starts_with(&format!("this user (uid {owner}) has no read permission (r) ")), "{text}");
        assert!(text.ends_with(&expected), "{text}");
    }
}
