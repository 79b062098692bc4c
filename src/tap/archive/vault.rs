//! Where an archive lies: a folder. Whatever is written there appears whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What an archive needs of the place it lies in. Names are relative, with `/` between folder and file. All calls block.
pub(super) trait Vault: Send + Sync {
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is nothing of that name.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Writes what is not there yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where there is something of that name.
    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes what may be there already.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// The names in a folder, without it, in order. Nothing where it does not exist.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Removes what may be gone already.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes what an earlier process left half written.
    fn sweep(&self) -> io::Result<()>;
}

/// What half-written files begin with.
const ASIDE: &str = ".open-";

/// As files are that any other program makes, before the umask.
const MODE: u32 = 0o666;

/// A folder of this machine.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// Writes beside, makes it durable, and renames: `keep` says what becomes of a file of that name.
    fn write(
        &self,
        name: &str,
        bytes: &[u8],
        keep: fn(tempfile::NamedTempFile, &Path) -> Result<fs::File, tempfile::PersistError>,
    ) -> io::Result<()> {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(&self.0);
        fs::create_dir_all(folder)?;
        let mut file =
            tempfile::Builder::new().prefix(ASIDE).permissions(fs::Permissions::from_mode(MODE)).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        keep(file, &path)?;
        fs::File::open(folder)?.sync_all()
    }
}

impl Vault for Folder {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(name, bytes, |file, path| file.persist_noclobber(path))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(name, bytes, |file, path| file.persist(path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.0.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.retain(|name| !name.starts_with(ASIDE));
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sweep(&self) -> io::Result<()> {
        for folder in [self.0.clone(), self.0.join(super::index::PAGES), self.0.join(super::index::SEGMENTS)] {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(ASIDE) {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }
}
