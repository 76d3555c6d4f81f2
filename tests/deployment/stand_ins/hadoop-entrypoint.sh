#!/bin/bash
# CORE_CONF_a_b=v is the property a.b of core-site.xml, HDFS_CONF_… of hdfs-site.xml; `___` is a dash.
set -eu
conf=/tmp/conf
mkdir -p "$conf" /hadoop/dfs/name /hadoop/dfs/data
site() { # FILE PREFIX PROPERTY=VALUE...
  local file=$1 prefix=$2 pair name
  shift 2
  {
    echo '<configuration>'
    while IFS= read -r pair; do
      [ -n "$pair" ] || continue
      name=${pair%%=*}
      echo "<property><name>$name</name><value>${pair#*=}</value></property>"
    done < <(printf '%s\n' "$@"; env | sed -n "s/^$prefix//p" | awk -F= -v OFS== '{gsub(/___/, "-", $1); gsub(/_/, ".", $1); print}')
    echo '</configuration>'
  } > "$conf/$file"
}
site core-site.xml CORE_CONF_
site hdfs-site.xml HDFS_CONF_ dfs.namenode.name.dir=file:///hadoop/dfs/name dfs.datanode.data.dir=file:///hadoop/dfs/data \
  dfs.namenode.rpc-bind-host=0.0.0.0 dfs.namenode.datanode.registration.ip-hostname-check=false
# the pages of its web server, which the jars do not have: the checks only ask whether it answers
for page in hdfs datanode static; do
  mkdir -p "$conf/webapps/$page/WEB-INF"
  echo "$ROLE" > "$conf/webapps/$page/index.html"
done
printf '%s\n' 'log4j.rootLogger=WARN, c' 'log4j.appender.c=org.apache.log4j.ConsoleAppender' \
  'log4j.appender.c.layout=org.apache.log4j.SimpleLayout' > "$conf/log4j.properties"
options=(-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 --add-opens java.base/java.lang=ALL-UNNAMED -cp "$conf:/opt/hadoop/libs/*")
server=org.apache.hadoop.hdfs.server
if [ "$ROLE" = namenode ]; then
  [ -d /hadoop/dfs/name/current ] || java "${options[@]}" "$server.namenode.NameNode" -format -nonInteractive "${CLUSTER_NAME:-test}"
  exec java "${options[@]}" "$server.namenode.NameNode"
fi
exec java "${options[@]}" "$server.datanode.DataNode"
