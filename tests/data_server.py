"""A web server on this machine whose answers fail in the ways that mirrors of data sets fail."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def serving(files):
    """Serve `files`, {name: content}, at URL/whole/name; and at

    * URL/forbidden/name: status 403;
    * URL/other/name: another file of the same length;
    * URL/silent/name: nothing at all, until the block ends;
    * URL/stalled/name: half the file, then nothing more.

    Gives the URL and the list of the paths that were asked for by GET.
    """
    asked, ended = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            _, manner, name, *_ = self.path.split("/")
            content = bytes(len(files[name])) if manner == "other" else files[name]
            if manner == "forbidden":
                self.send_error(403)
            elif manner != "silent":
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if manner == "stalled" else content)
            if manner in ("silent", "stalled"):
                ended.wait()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            ended.set()
            server.shutdown()
