//! bpf/gen: the compiled BPF programs, committed, so that building procscope needs no clang. They
//! are the same, byte for byte, at any path of the repository: only the sources, clang and the
//! flags count.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{output, run};
use crate::{packages, workspace};

const SOURCE: &str = "procscope.bpf.c";
const OBJECT: &str = "procscope.bpfel.o";

/// One object for all little-endian machines: CO-RE reads their differences, so there is no
/// __TARGET_ARCH_*. v3 is the instruction set of Linux 5.1 and later.
const FLAGS: &[&str] = &[
    "--target=bpfel",
    "-mcpu=v3",
    "-g",
    "-O2",
    "-Wall",
    "-Werror",
    // No header of this machine: bpf/core_types.h has the kernel's types.
    "-nostdlibinc",
    "-fno-ident",
    "-fdebug-compilation-dir=.",
];

/// libbpf's headers for BPF programs, from the copy that is also linked.
const HEADERS: &[&str] = &["bpf_core_read.h", "bpf_endian.h", "bpf_helper_defs.h", "bpf_helpers.h", "bpf_tracing.h"];

/// Compiles into bpf/gen.
pub(crate) fn generate() -> Result<()> {
    let built = Built::new()?;
    let generated = workspace::root().join("bpf/gen");
    fs::create_dir_all(&generated)?;
    fs::write(generated.join(OBJECT), &built.object)?;
    fs::write(generated.join("MANIFEST"), &built.manifest)?;
    println!("bpf/gen/{OBJECT}: {} bytes", built.object.len());
    Ok(())
}

/// Compiles elsewhere, and compares.
pub(crate) fn check() -> Result<()> {
    let built = Built::new()?;
    let generated = workspace::root().join("bpf/gen");
    let read = |name| fs::read(generated.join(name)).with_context(|| format!("bpf/gen/{name}: type `cargo xtask bpf`"));
    let object = read(OBJECT)?;
    let manifest = String::from_utf8(read("MANIFEST")?).context("bpf/gen/MANIFEST")?;

    let mut differences = String::new();
    if object != built.object {
        let (old, new) = (object.len(), built.object.len());
        let at = object.iter().zip(&built.object).take_while(|(old, new)| old == new).count();
        writeln!(differences, "  bpf/gen/{OBJECT}: {old} bytes, now {new}; the first that differs is at {at}")?;
    }
    // The comments of the manifest name its tools; another clang that makes the same bytes is as
    // good.
    let sums = |manifest: &str| manifest.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let (old, new): (Vec<_>, Vec<_>) = (sums(&manifest), sums(&built.manifest));
    old.iter().filter(|line| !new.contains(line)).try_for_each(|line| writeln!(differences, "  - {line}"))?;
    new.iter().filter(|line| !old.contains(line)).try_for_each(|line| writeln!(differences, "  + {line}"))?;
    if differences.is_empty() {
        println!("bpf/gen is what bpf/{SOURCE} compiles to");
        return Ok(());
    }
    let made_by = |manifest: &str| manifest.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect();
    let (old, new): (Vec<_>, Vec<_>) = (made_by(&manifest), made_by(&built.manifest));
    old.iter().filter(|line| !new.contains(line)).try_for_each(|line| writeln!(differences, "  committed: {line}"))?;
    new.iter().filter(|line| !old.contains(line)).try_for_each(|line| writeln!(differences, "  here:      {line}"))?;
    bail!(
        "bpf/gen is not what bpf/{SOURCE} compiles to\n{differences}  help: cargo xtask bpf, and commit bpf/gen with the \
         sources"
    )
}

struct Built {
    object: Vec<u8>,
    manifest: String,
}

impl Built {
    fn new() -> Result<Self> {
        packages::ensure(&[packages::BPF])?;
        let sources = workspace::root().join("bpf");
        let (libbpf, libbpf_version) = workspace::source_of("libbpf-sys")?;
        let work = workspace::target_dir()?.join("bpf");
        // The sources say <bpf/bpf_helpers.h>, as for an installed libbpf.
        let headers = work.join("include/bpf");
        fs::create_dir_all(&headers)?;
        for name in HEADERS {
            let header = libbpf.join("libbpf/src").join(name);
            fs::copy(&header, headers.join(name)).with_context(|| header.display().to_string())?;
        }

        let object = work.join(OBJECT);
        let mut clang = Command::new("clang-19");
        clang.current_dir(&sources).args(FLAGS);
        clang.arg(format!("-ffile-prefix-map={}=libbpf", work.join("include").display()));
        clang.arg("-isystem").arg(work.join("include")).args(["-c", SOURCE, "-o"]).arg(&object);
        run(&mut clang)?;
        // DWARF is removed, BTF stays.
        run(Command::new("llvm-strip-19").arg("-g").arg(&object))?;

        let bytes = fs::read(&object)?;
        for dir in [&sources, &work] {
            let dir = dir.to_str().context("a path that is not UTF-8")?.as_bytes();
            if bytes.windows(dir.len()).any(|window| window == dir) {
                bail!("{OBJECT} names {}, which differs from machine to machine", String::from_utf8_lossy(dir));
            }
        }
        let manifest = manifest(&sources, &object, &libbpf_version)?;
        Ok(Self { object: bytes, manifest })
    }
}

/// Sums that `sha256sum --check` reads from bpf/, after comments on the tools.
fn manifest(sources: &Path, object: &Path, libbpf_version: &str) -> Result<String> {
    let version = output(Command::new("clang-19").arg("--version"))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(sources)? {
        let name = entry?.file_name().into_string().ok().context("a file name that is not UTF-8")?;
        if name.ends_with(".c") || name.ends_with(".h") {
            names.push(name);
        }
    }
    names.sort();
    let mut manifest = String::from("# Written by `cargo xtask bpf`.\n");
    writeln!(manifest, "# {}", version.lines().next().unwrap_or_default())?;
    writeln!(manifest, "# libbpf's headers of libbpf-sys {libbpf_version}")?;
    writeln!(manifest, "# {}", FLAGS.join(" "))?;
    writeln!(manifest, "{}  gen/{OBJECT}", sha256(object)?)?;
    for name in names {
        writeln!(manifest, "{}  {name}", sha256(&sources.join(&name))?)?;
    }
    Ok(manifest)
}

fn sha256(file: &Path) -> Result<String> {
    let line = output(Command::new("sha256sum").arg(file))?;
    Ok(line.split_whitespace().next().context("sha256sum said nothing")?.to_owned())
}
