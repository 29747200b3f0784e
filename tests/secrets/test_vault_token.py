"""Getting a token of a real OpenBao, keeping it, and getting another."""

# ruff: noqa: S106  # words of this test only
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bao_server import BaoServer
from secret_checks import everything_of, wait_until
from token_review import OPENSSL, TokenReview, token_review

from natix_cascade.errors import SecretError
from natix_cascade.secrets import Secrets
from natix_cascade.secrets.vault import VaultConnection

pytestmark = pytest.mark.observe
VALUE = "sk-verysecret-0123456789"
REFERENCE = "vault:natix/huggingface#token"

LogIn = Callable[..., Secrets]


@pytest.fixture(autouse=True)
def _written(bao: BaoServer, admin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", bao.url)
    admin.secrets.kv.v2.create_or_update_secret("huggingface", secret={"token": VALUE}, mount_point="natix")


@pytest.fixture
def ids(admin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """Set up an AppRole, and its halves: one in a variable, one in a file."""

    def make(**role: Any) -> tuple[str, str]:
        role = {"token_ttl": "1h", "token_max_ttl": "24h", **role}
        admin.auth.approle.create_or_update_approle("srv", token_policies=["cascade"], **role)
        role_id = admin.auth.approle.read_role_id("srv")["data"]["role_id"]
        secret_id = admin.auth.approle.generate_secret_id("srv")["data"]["secret_id"]
        monkeypatch.setenv("VAULT_ROLE_ID", role_id)
        (tmp_path / "secret-id").write_text(secret_id + "\n", "utf-8")
        monkeypatch.setenv("VAULT_SECRET_ID_FILE", str(tmp_path / "secret-id"))
        return role_id, secret_id

    return make


@pytest.fixture
def log_in() -> Iterator[LogIn]:
    made: list[Secrets] = []

    def make(**options: Any) -> Secrets:
        made.append(Secrets(**options))
        return made[-1]

    yield make
    for secrets in made:
        secrets.close()


def look_up(secrets: Secrets) -> dict[str, Any]:
    session = secrets._vault._session
    assert session is not None
    return session.ask(VaultConnection.look_up)


def logins(caplog: pytest.LogCaptureFixture) -> int:
    return sum("logged in at the Vault" in record.getMessage() for record in caplog.records)


def revoke_all(admin: Any, name: str) -> int:
    """Revoke all tokens of one way to log in; returns how many."""
    ended = 0
    for accessor in admin.list("auth/token/accessors")["data"]["keys"]:
        if admin.auth.token.lookup_accessor(accessor)["data"]["display_name"].startswith(name):
            admin.auth.token.revoke_accessor(accessor)
            ended += 1
    return ended


def test_a_token_by_approle_is_renewed_and_in_the_end_revoked(
    ids: Any, log_in: LogIn, admin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    role_id, secret_id = ids(token_ttl="3s", token_max_ttl="1h")
    secrets = log_in(refresh_s=60.0)
    assert secrets.open(REFERENCE).reveal() == VALUE
    holder = secrets.whoami()
    assert (holder.method, holder.name, holder.renewable) == ("approle", "approle", True)
    assert set(holder.policies) == {"cascade", "default"}
    assert 0 < holder.ttl_s <= 3
    assert "last_renewal_time" not in look_up(secrets)
    time.sleep(5.0)  # without renewal it had ended
    assert look_up(secrets)["last_renewal_time"] > 0
    assert logins(caplog) == 1
    secrets.close()
    assert revoke_all(admin, "approle") == 0
    assert all(word not in caplog.text for word in (role_id, secret_id, VALUE))


def test_a_token_that_cannot_last_longer_is_replaced(ids: Any, log_in: LogIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ids(token_ttl="4s", token_max_ttl="6s")
    secrets = log_in(refresh_s=0.2)
    secret = secrets.open(REFERENCE)
    assert secret.reveal() == VALUE
    wait_until(lambda: logins(caplog) >= 2)
    assert secret.problem is None
    first, second = (each.created for each in caplog.records if "logged in at the Vault" in each.getMessage())
    assert second - first < 5.6  # before it ended
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_after_a_revocation_it_logs_in_anew_and_reads_on(
    ids: Any, log_in: LogIn, admin: Any, put: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ids(token_ttl="1h")
    secret = log_in(refresh_s=60.0, again_s=0.0).open(REFERENCE)
    assert secret.reveal() == VALUE
    assert revoke_all(admin, "approle") == 1
    put("huggingface", token="another-and-new")
    secret.invalidate()
    assert (secret.reveal(), secret.problem, logins(caplog)) == ("another-and-new", None, 2)


def test_what_is_forbidden_does_not_log_in_again_and_again(
    ids: Any, log_in: LogIn, admin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ids(token_ttl="1h")
    secrets = log_in()
    admin.secrets.kv.v2.create_or_update_secret("other/db", secret={"password": VALUE})
    for _ in range(3):
        with pytest.raises(SecretError, match="forbidden; the policy needs"):
            secrets.open("vault:secret/other/db#password").reveal()
    assert logins(caplog) == 1


def test_when_neither_renewal_nor_login_work_the_last_value_stays(
    ids: Any, log_in: LogIn, admin: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ids(token_ttl="1h")
    secret = log_in(refresh_s=0.1, again_s=0.0).open(REFERENCE)
    assert secret.reveal() == VALUE
    good = (tmp_path / "secret-id").read_text("utf-8")
    (tmp_path / "secret-id").write_text("wrong-half", "utf-8")
    revoke_all(admin, "approle")
    wait_until(lambda: secret.problem is not None)
    assert "logging in by approle (auth/approle)" in (secret.problem or "")
    assert secret.reveal() == VALUE
    (tmp_path / "secret-id").write_text(good, "utf-8")  # a new half needs no restart
    wait_until(lambda: secret.problem is None)
    assert "wrong-half" not in caplog.text
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 2, caplog.text


def test_a_login_that_is_refused_leaves_the_token_in_use(ids: Any, log_in: LogIn, tmp_path: Path, admin: Any) -> None:
    ids()
    secrets = log_in()
    secrets.open(REFERENCE).reveal()
    good = (tmp_path / "secret-id").read_text("utf-8")
    session = secrets._vault._session
    assert session is not None
    (tmp_path / "secret-id").write_text("wrong-half", "utf-8")
    with pytest.raises(SecretError, match="logging in by approle"):
        session._log_in()
    assert secrets.whoami().name == "approle"
    (tmp_path / "secret-id").write_text(good, "utf-8")
    session._log_in()
    assert secrets.whoami().name == "approle"
    assert revoke_all(admin, "approle") == 1  # the one before was revoked


def test_a_wrong_half_is_said_so_and_not_repeated(ids: Any, log_in: LogIn, tmp_path: Path) -> None:
    role_id, _ = ids()
    (tmp_path / "secret-id").write_text("wrong-half", "utf-8")
    with pytest.raises(SecretError, match=r"logging in by approle \(auth/approle\): .* refused: ") as caught:
        log_in().open(REFERENCE).reveal()
    told = everything_of(caught.value)
    assert "wrong-half" not in told
    assert role_id not in told


def test_a_token_in_a_file_is_taken_anew_when_it_was_changed(
    log_in: LogIn, admin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = tmp_path / "sink"
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(sink))

    def new() -> str:
        token: str = admin.auth.token.create(policies=["cascade"], ttl="1h")["auth"]["client_token"]
        sink.write_text(token, "utf-8")
        return token

    first = new()
    secrets = log_in(again_s=0.0)
    secret = secrets.open(REFERENCE)
    assert secret.reveal() == VALUE
    admin.auth.token.revoke(first)
    secret.invalidate()
    assert "does not take the token" in (secret.problem or "")
    second = new()
    secret.invalidate()
    assert secret.problem is None
    secrets.close()
    admin.auth.token.lookup(second)  # a given token is not ours to revoke


def test_a_token_that_never_ends(log_in: LogIn, monkeypatch: pytest.MonkeyPatch) -> None:
    from bao_server import ROOT

    monkeypatch.setenv("VAULT_TOKEN", ROOT)
    holder = log_in().whoami()
    assert (holder.method, holder.policies, holder.ttl_s, holder.renewable) == ("token", ("root",), 0, False)


@pytest.fixture
def cluster(admin: Any, tmp_path: Path) -> Iterator[TokenReview]:
    if OPENSSL is None:
        pytest.skip("no openssl: it makes the certificate of the TokenReview API")
    with token_review(tmp_path) as api:
        admin.sys.enable_auth_method("kubernetes")
        try:
            admin.auth.kubernetes.configure(
                kubernetes_host=api.url,
                kubernetes_ca_cert=api.certificate,
                token_reviewer_jwt=api.issue("vault", "reviewer"),
                disable_local_ca_jwt=True,
            )
            admin.write_data(
                "auth/kubernetes/role/cascade",
                data={
                    "bound_service_account_names": ["cascade"],
                    "bound_service_account_namespaces": ["natix"],
                    "token_policies": ["cascade"],
                    "token_ttl": "1h",
                },
            )
            yield api
        finally:
            admin.sys.disable_auth_method("kubernetes")


@pytest.fixture
def service_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the service account's token lies in a pod."""
    monkeypatch.setenv("VAULT_K8S_ROLE", "cascade")
    monkeypatch.setenv("VAULT_K8S_TOKEN_FILE", str(tmp_path / "token"))
    return tmp_path / "token"


def test_kubernetes(
    cluster: TokenReview, service_token: Path, log_in: LogIn, admin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = cluster.issue("natix", "cascade")
    service_token.write_text(token, "utf-8")
    secrets = log_in(again_s=0.0)
    secret = secrets.open(REFERENCE)
    assert secret.reveal() == VALUE
    assert (secrets.whoami().method, cluster.asked) == ("kubernetes", 1)
    assert "cascade" in secrets.whoami().policies
    cluster.known.pop(token)  # the cluster has changed it, as it does each hour
    later = cluster.issue("natix", "cascade", 1)
    service_token.write_text(later, "utf-8")
    assert revoke_all(admin, "kubernetes") == 1
    secret.invalidate()
    assert (secret.problem, cluster.asked) == (None, 2)
    assert token not in caplog.text
    assert later not in caplog.text


def test_kubernetes_lets_no_other_account_in(cluster: TokenReview, service_token: Path, log_in: LogIn) -> None:
    secret = log_in().open(REFERENCE)
    with pytest.raises(SecretError, match=f"the file {service_token} cannot be read: No such file"):
        secret.reveal()
    for token in (cluster.issue("natix", "stranger"), cluster.issue("natix", "cascade") + "x"):
        service_token.write_text(token, "utf-8")
        with pytest.raises(SecretError, match=r"logging in by kubernetes \(auth/kubernetes\)") as caught:
            secret.reveal()
        assert token not in everything_of(caught.value)
