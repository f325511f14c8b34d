"""What watches the fleet: rules and dashboards, written once and rendered for every kind of Prometheus.

    promql      which series does an expression read?
    metrics     which series exist, and on which cluster?     (catalog/facts/metrics.yaml)
    rules       the hand-written rules                         (clusters/base/monitoring/rules/)
    dashboards  the hand-written dashboards                    (clusters/base/monitoring/dashboards/)
    select      what of them makes sense on one cluster
    promises    the series that say what the catalog promises of one model
    azure       rules as an ARM template; `grafana` draws a dashboard; the rest is templates

A rule is in Prometheus' own format, with nothing of ours in it: everybody who knows Prometheus can read, test and
change one. It is rendered on a cluster exactly where every series that it reads exists there.
"""
