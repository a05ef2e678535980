use super::*;

const DUMP: &str = "\
-- Current Database: `a``b`
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `a``b`;
USE `a``b`;
DROP SEQUENCE IF EXISTS `sq`;
CREATE SEQUENCE `sq` start with 1 ENGINE=InnoDB;
DROP TABLE IF EXISTS `t`;
CREATE TABLE `t` (
  `id` int(11) COMMENT 'CREATE TABLE `no` (',
  KEY `b` (`id`)
) ENGINE=InnoDB;
INSERT INTO `t` VALUES
(1,'x(\\'('),
(2,'a;
'),
(3,NULL);
INSERT INTO `t` (`VALUES`, `a (`) VALUES (4,'it''s'),(5,_binary 'q\\\\');
CREATE TABLE `empty` (
  `a` int
);
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`trigger`@`%`*/ /*!50003 trigger if not exists `t x` before insert on t
for each row begin
USE `no`;
CREATE TABLE `no2` (
end */;;
/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`l`*/ /*!50003 TRIGGER `a``b`.tg -- why
 before update on t for each row set new.a=1 */;;
DELIMITER ;
/*!50001 CREATE VIEW `v` AS SELECT
 1 AS `a` */;
DELIMITER ;;
/*!50003 SET sql_mode = '' */ ;;
/*!50106 CREATE*/ /*!50117 DEFINER=`r`@`l`*/ /*!50106 EVENT `ee` ON SCHEDULE EVERY 1 DAY DO select 1
*/ ;;
DELIMITER ;
DELIMITER ;;
CREATE DEFINER=`r`@`l` FUNCTION `ff`() RETURNS int(11)
return 1
;;
CREATE DEFINER=`r`@`l` PACKAGE BODY \"pkg\" AS end
;;
CREATE DEFINER=`r`@`l` PROCEDURE `pp`()
select ';;
'
;;
DELIMITER ;
USE `a``b`;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select 1 AS `a` */;
-- Dump completed
";

fn through(step: usize, stops: &[&str]) -> (Vec<u8>, Written) {
    struct Steps<'a>(&'a [u8], usize);
    impl Read for Steps<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(buf.len()).min(self.0.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    let stops = stops.iter().map(|name| ("a`b".to_owned(), (*name).to_owned())).collect();
    let fill = |table: &Table| {
        let rows = format!("INSERT INTO `{}` (`a`) VALUES\n(1.5);\n", table.1);
        Ok(Box::new(io::Cursor::new(rows.into_bytes())) as Box<dyn Read + Send>)
    };
    let (mut reader, scan) = Scanned::new(Steps(DUMP.as_bytes(), step), stops, Box::new(fill));
    let mut out = Vec::new();
    reader.read_to_end(&mut out).unwrap();
    (out, scan.written())
}

#[test]
fn a_dump_tells_what_is_in_it_however_it_is_cut() {
    let table = |name: &str| ("a`b".to_owned(), name.to_owned());
    for step in [1, 2, 3, 7, 64, 1000, 100_000] {
        let (out, written) = through(step, &[]);
        assert_eq!(out, DUMP.as_bytes());
        assert_eq!(written.tables, BTreeMap::from([(table("t"), 5), (table("empty"), 0)]), "{step}");
        let objects: Vec<&str> = written.objects.iter().map(|(_, name)| name.as_str()).collect();
        let all = [
            "event ee",
            "function ff",
            "package body pkg",
            "procedure pp",
            "sequence sq",
            "trigger t x",
            "trigger tg",
            "view v",
        ];
        assert_eq!((objects.as_slice(), written.unread), (&all[..], 0), "{step}");
        assert!(written.objects.iter().all(|(database, _)| database == "a`b"));
        let longest = DUMP.split_once("/*!50003 CREATE*/").unwrap().1.split_once(";;\n").unwrap().0.len() + 20;
        assert_eq!(written.longest, longest as u64);
    }
}

#[test]
fn rows_are_put_in_where_the_tool_left_them_out() {
    for step in [1, 64, 100_000] {
        let (out, written) = through(step, &["empty", "t"]);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("`a` int\n);\nINSERT INTO `empty` (`a`) VALUES\n(1.5);\nDELIMITER"), "{text}");
        assert!(
            text.contains(") ENGINE=InnoDB;\nINSERT INTO `t` (`a`) VALUES\n(1.5);\nINSERT INTO `t` VALUES"),
            "{text}"
        );
        assert_eq!(written.tables.values().collect::<Vec<_>>(), [&1, &6]);
    }
}

/// Whoever reads in whole blocks comes with no room at all once a block is full.
#[test]
fn no_room_loses_nothing_and_no_bytes_are_the_end() {
    for room in [1, 5, 64, 4096] {
        let stops = ["empty", "t"].map(|name| ("a`b".to_owned(), name.to_owned())).into();
        // The first has rows, the second none.
        let fill = |table: &Table| {
            let rows = if table.1 == "t" { "INSERT INTO `t` (`a`) VALUES\n(1.5);\n" } else { "" };
            Ok(Box::new(io::Cursor::new(rows)) as Box<dyn Read + Send>)
        };
        let (mut reader, scan) = Scanned::new(DUMP.as_bytes(), stops, Box::new(fill));
        let (mut out, mut buf) = (Vec::new(), vec![0; room]);
        loop {
            assert_eq!(reader.read(&mut []).unwrap(), 0);
            match reader.read(&mut buf).unwrap() {
                0 => break,
                n => out.extend_from_slice(&buf[..n]),
            }
        }
        let (before, after) = DUMP.split_once(") ENGINE=InnoDB;\n").unwrap();
        let whole = format!("{before}) ENGINE=InnoDB;\nINSERT INTO `t` (`a`) VALUES\n(1.5);\n{after}");
        assert_eq!(String::from_utf8(out).unwrap(), whole, "{room}");
        assert_eq!(scan.written().tables.values().collect::<Vec<_>>(), [&0, &6]);
        assert_eq!(reader.read(&mut buf).unwrap(), 0, "the end stays");
    }
}
