"""What Dagster loads: each CRM's jobs. Does without network and database; a wrong setting raises SettingsError."""

from __future__ import annotations

import logging

from dagster import Definitions

from crm_pipeline.logs import start_logging
from crm_pipeline.orchestration.alerts import Job, alert_sensor, checks_of, jobs_of
from crm_pipeline.orchestration.assets import CONTACTS, crm_asset
from crm_pipeline.orchestration.backfill import backfill_job, first_day
from crm_pipeline.orchestration.checks import asset_checks, checks_schedule
from crm_pipeline.orchestration.housekeeping import housekeeping_job, housekeeping_schedule
from crm_pipeline.orchestration.requeue import requeue_job
from crm_pipeline.orchestration.resources import sync_resource
from crm_pipeline.orchestration.schedules import every, sync_schedule
from crm_pipeline.orchestration.sensors import give_back_sensors, retry_sensor
from crm_pipeline.orchestration.sync import sync_job
from crm_pipeline.settings import CrmSettings, Settings
from crm_pipeline.wiring import Pipeline

logger = logging.getLogger(__name__)


def load(settings: Settings) -> Definitions:
    """All CRMs' definitions, merged."""
    start_logging(settings)
    crms = [_of_crm(settings, crm) for crm in settings.crms.values()]
    housekeeping = housekeeping_job(settings.general)
    watched = [Job("housekeeping"), *(job for name in settings.crms for job in jobs_of(name))]
    shared = Definitions(
        assets=[CONTACTS],
        jobs=[housekeeping],
        schedules=[housekeeping_schedule(housekeeping)],
        sensors=[alert_sensor(settings, watched, [key for name in settings.crms for key in checks_of(name)])],
    )
    return Definitions.merge(shared, *crms)


def _of_crm(settings: Settings, crm: CrmSettings) -> Definitions:
    _announce(crm)
    resource = sync_resource(crm)
    job = sync_job(crm, resource)
    backfill = backfill_job(crm, resource, first_day(settings, crm))
    pipeline = Pipeline(settings, crm)  # for ticks; connects at the first one
    return Definitions(
        assets=[crm_asset(crm.spec)],
        jobs=[job, requeue_job(crm, resource), backfill],
        asset_checks=asset_checks(crm.spec),
        schedules=[sync_schedule(pipeline, job), checks_schedule(crm)],
        sensors=[retry_sensor(pipeline, job, [backfill]), *give_back_sensors(pipeline, [job, backfill])],
        resources={crm.name: resource},
    )


def _announce(crm: CrmSettings) -> None:
    """One line per CRM: how it runs, or why it does not."""
    title, sync = crm.spec.title, crm.sync
    if not crm.enabled:
        logger.warning("%s is disabled: %s is not set. Its schedule and sensors are off.", title, crm.spec.key_variable)
        return
    runs = "run" if sync.scheduler_max_instances == 1 else "runs"
    logger.info(
        "%s sync: %s, batches of %d, at most %d %s",
        title, every(sync.scheduler_interval_minutes), sync.scheduler_batch_size, sync.scheduler_max_instances, runs,
    )  # fmt: skip


defs = load(Settings.load())
