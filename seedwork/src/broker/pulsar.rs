//! A broker over Apache Pulsar: topics a context, as many partitions as the deployment.
