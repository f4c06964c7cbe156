//! Faults inside a node's process: a small C library that is loaded into the node (see `preload.c`), and its switches.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use eyre::{WrapErr as _, ensure};

const SOURCE: &str = include_str!("preload.c");
/// Offsets of the library's switches in the control file.
const SYNCS_LEFT_AT: u64 = 0;
const FULL_AT: u64 = 4;
/// Value of the first switch while the disk is healthy.
const ALL_SYNCS_SUCCEED: i32 = -1;

/// The library, compiled.
#[derive(Clone, Debug)]
pub struct Preload {
    library: PathBuf,
}

impl Preload {
    /// Compiles the library into `directory` with the compiler that linked this program: `cc`.
    ///
    /// # Errors
    /// When there is no compiler, or it fails.
    pub fn compile(directory: &Path) -> eyre::Result<Self> {
        let (source, library) = (directory.join("preload.c"), directory.join("preload.so"));
        std::fs::write(&source, SOURCE).wrap_err_with(|| format!("cannot write {}", source.display()))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let output = compiler.output().wrap_err("cannot run cc: install a C compiler")?;
        ensure!(output.status.success(), "cc failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { library })
    }

    /// Environment variables of a process. `redirects`: ports that are replaced by a relay's port.
    pub fn environment(&self, switches: &Switches, redirects: &[(u16, u16)]) -> Vec<(String, String)> {
        let redirects: Vec<String> = redirects.iter().map(|(real, relay)| format!("{real}={relay}")).collect();
        vec![
            ("LD_PRELOAD".into(), self.library.display().to_string()),
            ("CHAOS_CONTROL".into(), switches.path.display().to_string()),
            ("CHAOS_REDIRECT".into(), redirects.join(",")),
        ]
    }
}

/// The switches of one node, kept over its restarts.
#[derive(Debug)]
pub struct Switches {
    path: PathBuf,
    file: File,
}

impl Switches {
    /// Creates the control file of a healthy disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> eyre::Result<Self> {
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(path);
        let file = opened.wrap_err_with(|| format!("cannot write {}", path.display()))?;
        let switches = Self { path: path.to_owned(), file };
        switches.heal()?;
        Ok(switches)
    }

    /// Makes every sync fail after `more` further ones.
    ///
    /// # Errors
    /// When the control file cannot be written.
    pub fn fail_syncs(&self, more: u32) -> eyre::Result<()> {
        self.set(SYNCS_LEFT_AT, i32::try_from(more)?)
    }

    /// Makes the disk full.
    ///
    /// # Errors
    /// When the control file cannot be written.
    pub fn fill(&self) -> eyre::Result<()> {
        self.set(FULL_AT, 1)
    }

    /// Heals the disk.
    ///
    /// # Errors
    /// When the control file cannot be written.
    pub fn heal(&self) -> eyre::Result<()> {
        self.set(SYNCS_LEFT_AT, ALL_SYNCS_SUCCEED)?;
        self.set(FULL_AT, 0)
    }

    fn set(&self, at: u64, value: i32) -> eyre::Result<()> {
        let written = self.file.write_all_at(&value.to_ne_bytes(), at);
        written.wrap_err_with(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        io::Read as _,
        net::TcpListener,
        process::{Child, Stdio},
    };

    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
        preload: Preload,
        switches: Switches,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let preload = Preload::compile(dir.path()).unwrap();
        let switches = Switches::create(&dir.path().join("control")).unwrap();
        Fixture { dir, preload, switches }
    }

    impl Fixture {
        /// Runs a line of bash with the library.
        fn start(&self, script: &str, redirects: &[(u16, u16)]) -> Child {
            let mut bash = Command::new("bash");
            bash.args(["-c", script]).current_dir(self.dir.path());
            bash.envs(self.preload.environment(&self.switches, redirects));
            bash.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        }

        /// Writes a byte and syncs it with `dd`; returns its error output.
        fn write_and_sync(&self) -> String {
            let output = self.start("dd if=/dev/zero of=file bs=1 count=1 conv=fsync", &[]).wait_with_output().unwrap();
            if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() }
        }
    }

    #[test]
    fn syncs_fail_after_so_many_more_until_the_disk_is_healed() {
        let fixture = fixture();
        assert_eq!(fixture.write_and_sync(), "");
        fixture.switches.fail_syncs(2).unwrap();
        assert_eq!((fixture.write_and_sync(), fixture.write_and_sync()), (String::new(), String::new()));
        assert!(fixture.write_and_sync().contains("Input/output error"));
        assert!(fixture.write_and_sync().contains("Input/output error"));
        fixture.switches.heal().unwrap();
        assert_eq!(fixture.write_and_sync(), "");
    }

    #[test]
    fn a_full_disk_takes_nothing() {
        const PROGRAM: &str = "#include <errno.h>\n#include <fcntl.h>\n#include <unistd.h>\nint main(void) {\n\
            int fd = open(\"file\", O_CREAT | O_WRONLY, 0600);\n\
            return write(fd, \"x\", 1) == 1 ? 0 : errno == ENOSPC ? 28 : 1;\n}\n";
        let fixture = fixture();
        std::fs::write(fixture.dir.path().join("write.c"), PROGRAM).unwrap();
        assert!(fixture.start("cc -o write write.c", &[]).wait().unwrap().success());
        let write = || fixture.start("exec ./write", &[]).wait().unwrap().code();
        assert_eq!(write(), Some(0));
        fixture.switches.fill().unwrap();
        assert_eq!(write(), Some(28));
        fixture.switches.heal().unwrap();
        assert_eq!(write(), Some(0));
    }

    #[test]
    fn connections_end_at_the_relay() {
        let fixture = fixture();
        let (real, relay) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = (real.local_addr().unwrap().port(), relay.local_addr().unwrap().port());
        let script = format!("echo hello > /dev/tcp/127.0.0.1/{}", ports.0);
        let mut bash = fixture.start(&script, &[(1, 2), ports]);
        let mut text = String::new();
        relay.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert!(bash.wait().unwrap().success());
        assert_eq!(text, "hello\n");
        real.set_nonblocking(true).unwrap();
        assert_eq!(real.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
