# A host without containers: Debian with systemd and nginx, as `deploy/install.sh` expects it.
FROM python:3.11-slim
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd nginx-light openssl hostname \
 && mkdir -p /etc/nginx/conf.d && rm -f /etc/nginx/sites-enabled/default
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
