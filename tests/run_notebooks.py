"""Run the notebooks in place and clean them: the only way in for a stored output.

    python tests/run_notebooks.py                 all of them
    python tests/run_notebooks.py 02_heatmaps     one of them
    python tests/run_notebooks.py --check         run again, write nothing, exit 1 where a byte differs

About execution and cleaning. Not about what a lesson should look like: notebook_rules.py.
"""

import argparse
import base64
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
CELL_SECONDS = 600
ENVIRONMENT = {
    # One thread: sums of floats come out in one order, and two runs in the same bytes.
    **dict.fromkeys(
        ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"], "1"
    ),
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONHASHSEED": "0",
    "HF_HUB_OFFLINE": "1",  # a lesson downloads nothing
    "NO_COLOR": "1",
}
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},  # and not its version
}
KEPT_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"pHYs", b"IDAT", b"IEND"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def execute(notebook, *, folder=NOTEBOOKS):
    """Run every cell of `notebook` in a fresh kernel, in place, and return it."""
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env={**os.environ, **ENVIRONMENT})


def clean(notebook):
    """Drop, in place, all that differs between two equal runs, and return the notebook."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5  # the first version with cell ids
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:02}"
        cell.metadata = _kept_metadata(cell.metadata)
        cell.pop("attachments", None)
        if cell.cell_type == "code":
            cell.outputs = [_clean_output(output) for output in _joined(cell.outputs)]
    return notebook


def to_bytes(notebook):
    """Return the file that Jupyter itself would write: one space of indent, LF, UTF-8."""
    return (nbformat.writes(notebook).rstrip("\n") + "\n").encode()


def strip_png(data):
    """Return the PNG file `data` without its comments: program names, versions and times."""
    kept, start = [data[:8]], 8
    while start < len(data):
        length = int.from_bytes(data[start : start + 4], "big") + 12
        if data[start + 4 : start + 8] in KEPT_CHUNKS:
            kept.append(data[start : start + length])
        start += length
    return b"".join(kept)


def find(names, *, folder=NOTEBOOKS):
    """Return the notebooks called `names` (stem, file name or path); all of them for no name."""
    known = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    unknown = sorted({Path(name).stem for name in names} - set(known))
    if unknown:
        raise SystemExit(f"no notebook {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[Path(name).stem] for name in names] or list(known.values())


def run_again(path):
    """Return what the file at `path` holds after another run."""
    return to_bytes(clean(execute(nbformat.read(path, as_version=4), folder=path.parent)))


def main(arguments=None):
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the notebooks in place and clean them.")
    parser.add_argument("names", nargs="*", help="02_heatmaps, say; all of them for none")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 on a difference"
    )
    options = parser.parse_args(arguments)
    failed = [path.name for path in find(options.names) if not _run(path, check=options.check)]
    if failed:
        print(f"{len(failed)} failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


def _run(path, *, check):
    """Run one notebook and say how it went; True where all is well."""
    start, before = time.perf_counter(), path.read_bytes()
    try:
        after = run_again(path)
    except (CellExecutionError, CellTimeoutError) as error:
        print(f"{path.name}: a cell failed; the file stays as it was\n{error}", file=sys.stderr)
        return False
    if not check:
        path.write_bytes(after)
    state = "same bytes" if after == before else "differs" if check else "written"
    print(f"{path.name}: {state}, {time.perf_counter() - start:.0f} s", flush=True)
    return after == before or not check


def _kept_metadata(metadata):
    """Return the tags and the folding of a cell, and nothing else."""
    kept = {"tags": metadata["tags"]} if metadata.get("tags") else {}
    if metadata.get("jupyter", {}).get("source_hidden"):
        kept["jupyter"] = {"source_hidden": True}
    return nbformat.from_dict(kept)


def _joined(outputs):
    """Return `outputs` with neighbouring pieces of one stream joined: how they split is chance."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _clean_output(output):
    """Return `output` without metadata and widget views, its pictures without their comments."""
    if "metadata" in output:
        output.metadata = nbformat.from_dict({})
    data = output.get("data", {})
    data.pop(WIDGET_VIEW, None)
    if "image/png" in data:
        png = strip_png(base64.b64decode(data["image/png"]))
        data["image/png"] = base64.b64encode(png).decode()
    return output


if __name__ == "__main__":
    sys.exit(main())
