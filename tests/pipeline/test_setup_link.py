"""A trial that begins on the setup page: the link it gives opens the page, while its org is not known to anybody."""

from pathlib import Path

import aiohttp

from deploy.command.trial import TrialOptions, trial
from deploy.sandbox import SandboxOptions
from shared.contracts.policy import Policy


async def test_a_trial_that_is_not_connected_waits_on_the_setup_page(tmp_path: Path) -> None:
    sandbox = SandboxOptions(mailboxes=2, events=3, seed=1, folder=tmp_path, interactive=True)
    options = TrialOptions(folder=tmp_path, sandbox=sandbox, policy=Policy(), connected=False)
    async with trial(options) as running, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(running.setup_link("it@acme")) as page:
            assert (page.status, page.url.path) == (200, "/setup/connect")
            assert running.org_id in await page.text()
        assert await running.api.status() is None
