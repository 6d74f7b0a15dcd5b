"""MLflow's own server, opened where our runs are: model training, an experiment's comparison at once.

MLflow's UI keeps what a person last chose in the browser, and starts in its GenAI half, where an
experiment of training runs looks empty. This application changes the *first* choice only: it is
``mlflow.server``'s, plus one script in the page that answers for settings the browser does not have yet. An
experiment with a view of its rows (see ``views``) opens with that view; others show their runs' tree.
It is installed as the MLflow app ``adapterlab``, so a team's server can use it too:
``mlflow server --app-name adapterlab …``. It asks for a token where one is set (see ``access``). Importing it
starts MLflow's server code.
"""

from __future__ import annotations

import json
import os

from mlflow.server.fastapi_app import app as mlflow_app

from adapterlab.tracking.access import TOKEN_VARIABLE, Application, Message, Receive, Send, WithToken
from adapterlab.tracking.entities import STATE_TAG
from adapterlab.tracking.owner import OWNER_VARIABLE, end_with
from adapterlab.tracking.views import ROWS_VIEW, VIEW_PREFIX

# Keys of mlflow/mlflow:mlflow/server/js@v3.17.2; where a later MLflow names them otherwise, its own
# first choices apply, and tests/end_to_end/test_mlflow_ui_in_a_browser.py fails.
_FIRST_CHOICES = {
    "mlflow.workflowType_v1": json.dumps("machine_learning"),
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
}
_NAME_COLUMN, _STATE_COLUMN = "attributes.`Run Name`", f"tags.`{STATE_TAG}`"
_RUN_TABLE = {
    "selectedColumns": [_STATE_COLUMN, "attributes.`Dataset`"],
    "columnOrder": [_NAME_COLUMN, "runDateAndNestInfo", _STATE_COLUMN, "duration", "attributes.`Dataset`"],
    "columnWidths": {_NAME_COLUMN: 440, _STATE_COLUMN: 130},
}
_FUNCTION = r"""function (choices, table, view) {
  var get = Storage.prototype.getItem, views = {};
  function viewOf(id) {
    var asked = new XMLHttpRequest();  // the page asks synchronously, once an experiment
    try {
      asked.open("GET", "ajax-api/2.0/mlflow/experiments/get?experiment_id=" + encodeURIComponent(id), false);
      asked.send();
      var tags = JSON.parse(asked.responseText).experiment.tags;
      return JSON.parse(tags.find(function (tag) { return tag.key === view; }).value).state;
    } catch (error) { return table; }
  }
  Storage.prototype.getItem = function (key) {
    var kept = get.call(this, key);
    if (kept !== null || this !== window.localStorage) return kept;
    if (Object.prototype.hasOwnProperty.call(choices, key)) return choices[key];
    var page = /^MLflowLocalStorage-[0-9.]+-ExperimentPage-(.*)-ReactComponentState$/.exec(key);
    if (!page) return null;
    var one = /^\["([0-9]+)"\]$/.exec(page[1]);
    if (!one) return table;
    if (!(one[1] in views)) views[one[1]] = viewOf(one[1]);
    return views[one[1]];
  };
}"""
_FIRST_ARGUMENTS = (_FIRST_CHOICES, json.dumps(_RUN_TABLE), VIEW_PREFIX + ROWS_VIEW)
_SCRIPT = f"<script>({_FUNCTION})({', '.join(map(json.dumps, _FIRST_ARGUMENTS))});</script>"
_HEADERS_OF_THE_OLD_PAGE = {b"content-length", b"etag", b"last-modified"}


class WithFirstChoices:
    """An ASGI application that adds our script to the page at ``/`` and passes on all else.

    Args:
        app: The application that serves the page.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        # The browser may know the page without our script; ask for it whole.
        conditions = (b"if-none-match", b"if-modified-since")
        headers = [(name, value) for name, value in scope["headers"] if name not in conditions]
        start: Message = {}
        body: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.append(message.get("body", b""))
            if not message.get("more_body"):
                await _send_page(start, b"".join(body), send)

        await self._app({**scope, "headers": headers}, receive, collect)


async def _send_page(start: Message, page: bytes, send: Send) -> None:
    headers = list(start["headers"])
    is_page = any(
        name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers
    )
    if start["status"] == 200 and is_page:
        page = page.replace(b"<head>", b"<head>" + _SCRIPT.encode(), 1)
        headers = [item for item in headers if item[0].lower() not in _HEADERS_OF_THE_OLD_PAGE]
        headers.append((b"content-length", str(len(page)).encode()))
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": page})


app: Application = WithFirstChoices(mlflow_app)
if _owner := os.environ.get(OWNER_VARIABLE):
    end_with(_owner)
if _token := os.environ.get(TOKEN_VARIABLE):
    app = WithToken(app, _token)
