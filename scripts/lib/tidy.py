"""Runs clang-tidy over the translation units of a compile_commands.json.

usage: tidy.py BUILD_FOLDER CACHE_FOLDER JOBS FOLDER…

Only sources below the given folders are checked, alone or several in a unit
(CMake's unity builds: most of the time goes into headers). A unit that was clean
is not checked again until its command, the configuration, a .proto file or a file of
ours that it includes has changed: the cache holds the hashes of all of them.
Exits with 1 when there was a finding.
"""

import concurrent.futures
import hashlib
import json
import pathlib
import shlex
import subprocess
import sys

CLANG_TIDY = "clang-tidy-14"
CLANG = "clang++-14"


def digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def file_digest(path):
    try:
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    except OSError:
        return "missing"


def plain_command(entry):
    """The compile command without launcher, output and dependency options."""
    words = shlex.split(entry["command"])
    compiler = next(i for i, word in enumerate(words) if "clang++" in word)
    plain, skip = [], False
    for word in words[compiler + 1 :]:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MT", "-MQ"):
            skip = True
        elif word not in ("-c", "-MD", "-MMD", entry["file"]):
            plain.append(word)
    return plain


def own_headers(entry, flags):
    """The files that the unit includes, except system headers."""
    made = subprocess.run(
        [CLANG, *flags, "-MM", "-MT", "unit", entry["file"]],
        cwd=entry["directory"], capture_output=True, text=True, check=False)
    if made.returncode:
        return None
    words = made.stdout.replace("\\\n", " ").split()[1:]
    return sorted({str((pathlib.Path(entry["directory"]) / word).resolve())
                   for word in words})


def is_clean_already(record):
    try:
        known = json.loads(record.read_text())
    except (OSError, ValueError):
        return False
    return all(file_digest(path) == known[path] for path in known)


def check(entry, cache, common_key):
    """The findings of one unit as text, or None when it is clean."""
    flags = plain_command(entry)
    record = cache / digest(entry["file"], common_key, *flags)
    if is_clean_already(record):
        return None
    ran = subprocess.run(
        [CLANG_TIDY, "--quiet", entry["file"], "--", *flags],
        cwd=entry["directory"], capture_output=True, text=True, check=False)
    if ran.returncode:
        return ran.stdout + ("" if ran.stdout.strip() else ran.stderr)
    headers = own_headers(entry, flags)
    if headers is not None:
        record.write_text(json.dumps({p: file_digest(p) for p in headers}))
    return None


def main(build, cache, jobs, *folders):
    root = pathlib.Path(__file__).resolve().parents[2]
    cache = pathlib.Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    entries = json.loads(
        (pathlib.Path(build) / "compile_commands.json").read_text())
    wanted = tuple(f"{top / folder}/" for folder in folders
                   for top in (root, pathlib.Path(build).resolve()))
    entries = [entry for entry in entries if entry["file"].startswith(wanted)
               and "/generated/" not in entry["file"]]
    version = subprocess.run([CLANG_TIDY, "--version"], capture_output=True,
                             text=True, check=True).stdout
    common_key = digest(version, file_digest(root / ".clang-tidy"),
                        *(file_digest(path)
                          for path in sorted(root.glob("proto/**/*.proto"))))

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(int(jobs)) as pool:
        futures = {pool.submit(check, entry, cache, common_key): entry["file"]
                   for entry in entries}
        done = concurrent.futures.as_completed(futures)
        for count, future in enumerate(done, start=1):
            findings = future.result()
            if findings:
                failed += 1
                print(findings)
            print(f"[{count}/{len(entries)}] {futures[future]}", flush=True)
    print(f"{len(entries)} files, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
